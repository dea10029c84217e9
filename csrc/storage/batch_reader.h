// Reads whole batches of a segment file one after the other, each checked against its CRC: what
// compaction and the scrubber work on.
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

namespace barnabas::storage {

class BatchReader {
 public:
  /// Batches in [0, end) of `fd`, read `buffer_bytes` at a time.
  BatchReader(int fd, std::string path, uint64_t end, size_t buffer_bytes);

  struct Batch {
    record::BatchView view;  // the whole batch; valid until the next call
    uint64_t position = 0;
  };

  /// The next batch, nullopt at the end. kCorruptMessage, with file and position, when there is no
  /// good batch where one should be.
  Result<std::optional<Batch>> next();
  [[nodiscard]] uint64_t position() const { return position_; }

 private:
  Status fill(size_t bytes);
  [[nodiscard]] Error corrupt(const char* why) const;

  const int fd_;
  const std::string path_;
  const uint64_t end_;
  uint64_t position_ = 0;  // of the next batch
  std::vector<uint8_t> buffer_;
  uint64_t buffer_start_ = 0;
  size_t buffer_size_ = 0;
};

}  // namespace barnabas::storage
