// Walks over the batches of a segment file from one header to the next without reading what lies
// between: finding an offset, rebuilding an index, reading producers back.
//
// Checks that headers are plausible, not CRCs (see segment_scanner.h). Belongs to one thread;
// borrows the descriptor.
#pragma once

#include <array>
#include <optional>
#include <string>

#include "base/result.h"
#include "record/batch.h"

namespace barnabas::storage {

/// Where a batch lies in its segment.
struct BatchPosition {
  int64_t base_offset = -1;
  int64_t last_offset = -1;
  uint64_t position = 0;  // bytes from the start of the file
  uint64_t bytes = 0;
};

/// Whether `view` can be a batch's header: magic, length, deltas and counts that fit together.
[[nodiscard]] bool plausible_header(const record::BatchView& view);

class BatchCursor {
 public:
  /// Batches in [position, end) of `fd`; a batch must start at `position`.
  BatchCursor(int fd, std::string path, uint64_t position, uint64_t end)
      : fd_(fd), path_(std::move(path)), position_(position), end_(end) {}

  struct Batch {
    record::BatchView view;  // its header; valid until the next call
    /// As much of the batch as lies in the window: at least the header, of a marker all.
    ByteView head;
    uint64_t position;
  };

  /// The next batch, nullopt at the end. kCorruptMessage when no batch starts here or it does not
  /// end before `end`.
  Result<std::optional<Batch>> next();
  /// The next batch whose last offset is at least `offset`, nullopt when there is none.
  Result<std::optional<BatchPosition>> find(int64_t offset);
  [[nodiscard]] static BatchPosition position_of(const Batch& batch);

 private:
  /// Reads on from the position, where `left` bytes are.
  Status read_window(uint64_t left);

  // Small at first, as large batches need a read for each header; where many small ones lie in a
  // row, the window grows until one read covers those between two index entries.
  static constexpr size_t kFirstWindowBytes = 512;
  static constexpr size_t kWindowBytes = 8192;

  int fd_;
  std::string path_;
  uint64_t position_;
  uint64_t end_;
  uint64_t window_start_ = 0;
  size_t window_size_ = 0;
  size_t next_window_bytes_ = kFirstWindowBytes;
  std::array<uint8_t, kWindowBytes> window_;
};

}  // namespace barnabas::storage
