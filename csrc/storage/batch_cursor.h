// Walks over the batches of a segment file from one header to the next without reading what lies
// between: finding an offset, rebuilding an index, reading producers back.
//
// Checks that headers are plausible and offsets in order, not CRCs (see segment_scanner.h). Belongs
// to one thread; borrows the descriptor.
#pragma once

#include <array>
#include <optional>
#include <string>

#include "base/result.h"
#include "record/batch.h"
#include "storage/offset_order.h"

namespace barnabas::storage {

/// Where a batch lies in its segment.
struct BatchPosition {
  int64_t base_offset = -1;
  int64_t last_offset = -1;
  uint64_t position = 0;  // bytes from the start of the file
  uint64_t bytes = 0;
};

/// What a search for an offset came to.
struct FoundBatch {
  std::optional<BatchPosition> batch;  // the first whose last offset is not below the one wanted
  /// False: a batch on the way was out of place, and may be the one that had the offset.
  bool certain = true;
  std::string odd;     // what was wrong with it
  OddRange odd_range;  // where all those lie that were out of place on the way
};

/// The header at `position`, nullopt when none can be there. `in_memory`: what has been read from
/// there on, if anything.
Result<std::optional<Following>> following_at(int fd, const std::string& path, uint64_t position,
                                              uint64_t end, ByteView in_memory);

/// Whether `view` can be a batch's header: magic, length, deltas and counts that fit together.
[[nodiscard]] bool plausible_header(const record::BatchView& view);
/// As above, but for its base offset.
[[nodiscard]] bool plausible_frame(const record::BatchView& view);

class BatchCursor {
 public:
  /// Batches in [position, end) of `fd`; a batch must start at `position`.
  BatchCursor(int fd, std::string path, uint64_t position, uint64_t end, OffsetOrder order = {})
      : fd_(fd), path_(std::move(path)), position_(position), end_(end), order_(order) {}

  struct Batch {
    record::BatchView view;  // its header; valid until the next call
    /// As much of the batch as lies in the window: at least the header, of a marker all.
    ByteView head;
    uint64_t position;
    bool in_place;  // what its offsets say fits what is around it
  };

  /// The next batch, nullopt at the end. kCorruptMessage when no batch starts here or it does not
  /// end before `end`. Not of a temporary: what it gives is a view of the cursor's window.
  Result<std::optional<Batch>> next() &;
  /// What was wrong with the last batch that was not in its place, and where it is.
  [[nodiscard]] Error out_of_place() const { return {ErrorCode::kCorruptMessage, odd_, 0}; }
  /// The next batch in its place whose last offset is at least `offset`.
  Result<FoundBatch> find(int64_t offset);
  [[nodiscard]] static BatchPosition position_of(const Batch& batch);

 private:
  /// Reads on from the position, where `left` bytes are.
  Status read_window(uint64_t left);
  /// Whether `view`, which ends at position_, is in its place.
  Result<bool> take(const record::BatchView& view, uint64_t position);

  // Small at first, as large batches need a read for each header; where many small ones lie in a
  // row, the window grows until one read covers those between two index entries.
  static constexpr size_t kFirstWindowBytes = 512;
  static constexpr size_t kWindowBytes = 8192;

  int fd_;
  std::string path_;
  uint64_t position_;
  uint64_t end_;
  OffsetOrder order_;
  std::string odd_;  // of the last batch that was not in its place
  uint64_t window_start_ = 0;
  size_t window_size_ = 0;
  size_t next_window_bytes_ = kFirstWindowBytes;
  std::array<uint8_t, kWindowBytes> window_;
};

}  // namespace barnabas::storage
