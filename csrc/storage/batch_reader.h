// Reads whole batches of a segment file one after the other, each checked against its CRC and for
// offsets that are in order: what compaction, the scrubber and copies work on.
//
// The buffer holds at least the batch at hand, so that it grows to the largest one met. Belongs to
// one thread; borrows the descriptor.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "record/batch.h"
#include "storage/offset_order.h"

namespace barnabas::storage {

class BatchReader {
 public:
  /// Batches in [begin, end) of `fd`, read `buffer_bytes` at a time.
  BatchReader(int fd, std::string path, uint64_t begin, uint64_t end, size_t buffer_bytes,
              const OffsetOrder& order);

  struct Batch {
    record::BatchView view;  // the whole batch; valid until the next call
    uint64_t position = 0;
  };

  /// The next batch, nullopt at the end. kCorruptMessage, with file and position, when there is no
  /// good batch where one should be.
  Result<std::optional<Batch>> next();
  [[nodiscard]] uint64_t position() const { return position_; }
  /// Whether next() has failed at a batch that is whole, and not in its place.
  [[nodiscard]] bool out_of_place() const { return out_of_place_; }

 private:
  Status fill(size_t bytes);
  [[nodiscard]] Error corrupt(const std::string& why) const;
  /// What is in memory from `position` on.
  [[nodiscard]] ByteView buffered(uint64_t position) const;

  const int fd_;
  const std::string path_;
  const uint64_t end_;
  uint64_t position_;  // of the next batch
  OffsetOrder order_;
  std::vector<uint8_t> buffer_;
  uint64_t buffer_start_ = 0;
  size_t buffer_size_ = 0;
  bool out_of_place_ = false;
};

}  // namespace barnabas::storage
