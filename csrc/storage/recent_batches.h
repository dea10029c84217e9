// Where the last few batches of the active segment lie, so that consumers at the tail are answered
// without a system call. A ring of adjoining batches.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>

#include "storage/batch_cursor.h"

namespace barnabas::storage {

class RecentBatches {
 public:
  /// REQUIRES: the batch starts where the last one added ended.
  void add(const BatchPosition& batch) {
    if (!ring_) ring_ = std::make_unique<Ring>();  // logs that are never written have none
    (*ring_)[next_++ % kCapacity] = batch;
  }
  void clear() { next_ = 0; }

  /// The batch with the first last_offset >= offset; nullopt when that may be an older one.
  [[nodiscard]] std::optional<BatchPosition> find(int64_t offset) const {
    uint64_t low = next_ > kCapacity ? next_ - kCapacity : 0;
    if (next_ == 0 || offset < at(low).base_offset) return std::nullopt;
    uint64_t high = next_;
    while (low < high) {
      const uint64_t middle = low + (high - low) / 2;
      if (at(middle).last_offset < offset) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    if (low == next_) return std::nullopt;
    return at(low);
  }

 private:
  static constexpr uint64_t kCapacity = 32;
  using Ring = std::array<BatchPosition, kCapacity>;

  [[nodiscard]] const BatchPosition& at(uint64_t n) const { return (*ring_)[n % kCapacity]; }

  std::unique_ptr<Ring> ring_;
  uint64_t next_ = 0;  // how many were added
};

}  // namespace barnabas::storage
