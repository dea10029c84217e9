// Reads a segment file from front to back and checks every batch: header, size, CRC, offsets. The
// loader's way to find where a log really ends after an unclean stop.
//
// Reads kScanBufferBytes at a time; a batch of any size needs no more memory than that. Belongs to
// one thread; borrows the descriptor.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "record/batch.h"
#include "storage/offset_order.h"

namespace barnabas::storage {

inline constexpr size_t kScanBufferBytes = 1 << 20;
/// The search behind a bad batch checks at most this many times the bytes that are there.
inline constexpr uint64_t kMaxSearchFactor = 16;

class SegmentScanner {
 public:
  SegmentScanner(int fd, std::string path, uint64_t file_bytes, OffsetOrder order = {});

  struct Batch {
    record::BatchView view;  // its header; valid until the next call
    ByteView head;           // its first bytes, at least the header
    uint64_t position;
  };

  /// The next good batch; nullopt at the end of the file or before the first bad batch, which
  /// `reason` then names. Errors only when the file cannot be read.
  Result<std::optional<Batch>> next();

  /// Where the last good batch ends.
  [[nodiscard]] uint64_t position() const { return position_; }
  /// Why the batch at position() is bad; empty when the file just ends.
  [[nodiscard]] const std::string& reason() const { return reason_; }
  /// Whether the batch at position() is a whole one that nothing but its offsets speaks against.
  [[nodiscard]] bool out_of_place() const { return out_of_place_; }
  /// What comes behind the batch that next() has returned last.
  Result<std::optional<Following>> following() { return following_at(position_); }

  /// Whether a good batch starts anywhere in [from, end of file): bytes that look like a batch of
  /// this segment and carry the CRC of what follows them. True as well when there is too much to
  /// check (kMaxSearchFactor).
  Result<bool> good_batch_after(uint64_t from, int64_t segment_base_offset);

 private:
  Status fill(uint64_t position);
  Result<std::optional<Following>> following_at(uint64_t position) const;
  Result<uint32_t> crc_of(uint64_t position, uint64_t bytes);

  int fd_;
  std::string path_;
  uint64_t file_bytes_;
  uint64_t position_ = 0;
  OffsetOrder order_;
  std::string reason_;
  bool out_of_place_ = false;
  std::vector<uint8_t> buffer_;
  uint64_t buffer_start_ = 0;
  size_t buffer_size_ = 0;
  // A copy: the check of a batch larger than the buffer overwrites what the view looks at.
  static constexpr size_t kHeadBytes = 128;  // holds a whole transaction marker
  std::array<uint8_t, kHeadBytes> head_;
};

}  // namespace barnabas::storage
