#include "storage/segment_scanner.h"

#include <fcntl.h>

#include <algorithm>
#include <cstring>

#include "base/crc32c.h"
#include "base/fd.h"
#include "storage/batch_cursor.h"

namespace barnabas::storage {

SegmentScanner::SegmentScanner(int fd, std::string path, uint64_t file_bytes, OffsetOrder order)
    : fd_(fd),
      path_(std::move(path)),
      file_bytes_(file_bytes),
      order_(order),
      buffer_(std::min<uint64_t>(kScanBufferBytes, file_bytes)) {
  ::posix_fadvise(fd_, 0, 0, POSIX_FADV_SEQUENTIAL);
}

Status SegmentScanner::fill(uint64_t position) {
  const size_t wanted =
      static_cast<size_t>(std::min<uint64_t>(buffer_.size(), file_bytes_ - position));
  BARNABAS_ASSIGN(buffer_size_,
                  read_at(fd_, MutableBytes(buffer_.data(), wanted), position, path_));
  buffer_start_ = position;
  if (buffer_size_ < wanted) file_bytes_ = position + buffer_size_;  // it ends earlier than it said
  return {};
}

Result<uint32_t> SegmentScanner::crc_of(uint64_t position, uint64_t bytes) {
  uint32_t crc = 0;
  while (bytes > 0) {
    if (position < buffer_start_ || position >= buffer_start_ + buffer_size_) {
      BARNABAS_TRY(fill(position));
      if (buffer_size_ == 0) break;  // cut off while we read: no CRC will match
    }
    const size_t at = static_cast<size_t>(position - buffer_start_);
    const size_t part = static_cast<size_t>(std::min<uint64_t>(bytes, buffer_size_ - at));
    crc = crc32c_extend(crc, ByteView(buffer_.data() + at, part));
    position += part;
    bytes -= part;
  }
  return crc;
}

Result<std::optional<Following>> SegmentScanner::following_at(uint64_t position) const {
  ByteView in_memory;
  if (position >= buffer_start_ && position < buffer_start_ + buffer_size_) {
    in_memory = ByteView(buffer_).first(buffer_size_);
    in_memory = in_memory.subspan(static_cast<size_t>(position - buffer_start_));
  }
  return storage::following_at(fd_, path_, position, file_bytes_, in_memory);
}

Result<std::optional<SegmentScanner::Batch>> SegmentScanner::next() {
  const std::optional<Batch> none;
  if (position_ >= file_bytes_) return none;
  const uint64_t left = file_bytes_ - position_;
  if (left < record::kBatchHeaderSize) {
    reason_ = "cut off in a header";
    return none;
  }
  if (position_ + record::kBatchHeaderSize > buffer_start_ + buffer_size_) {
    BARNABAS_TRY(fill(position_));
    if (buffer_size_ < record::kBatchHeaderSize) {
      reason_ = "cut off in a header";
      return none;
    }
  }
  const auto at_buffer = [this] { return static_cast<size_t>(position_ - buffer_start_); };
  const record::BatchView found(ByteView(buffer_).subspan(at_buffer()));
  if (!plausible_frame(found)) {
    reason_ = "no batch header";
    return none;
  }
  const bool plausible = plausible_header(found);
  const uint64_t size = found.size_bytes();
  if (size > left) {
    reason_ = "cut off in a batch";
    return none;
  }
  // One that would not fit behind its beginning is read again from its start, in one piece.
  if (at_buffer() + size > buffer_size_) BARNABAS_TRY(fill(position_));
  const size_t head_size =
      std::min({static_cast<size_t>(size), kHeadBytes, buffer_size_ - at_buffer()});
  std::memcpy(head_.data(), buffer_.data() + at_buffer(), head_size);
  const Batch batch{record::BatchView(ByteView(head_.data(), head_size)),
                    ByteView(head_.data(), head_size), position_};
  BARNABAS_ASSIGN(const uint32_t crc, crc_of(position_ + record::field::kAttributes,
                                             size - record::field::kAttributes));
  if (crc != batch.view.crc()) {
    reason_ = "CRC does not match";
    return none;
  }
  if (!plausible) {
    reason_ = "offset " + std::to_string(batch.view.base_offset()) + " is none";
    out_of_place_ = true;
    return none;
  }
  std::optional<Following> following;
  if (order_.leaves_gap(batch.view)) {
    BARNABAS_ASSIGN(following, following_at(position_ + size));
  }
  if (auto odd = order_.take(batch.view, following)) {
    reason_ = *std::move(odd);
    out_of_place_ = true;
    return none;
  }
  position_ += size;
  return std::optional(batch);
}

Result<bool> SegmentScanner::good_batch_after(uint64_t from, int64_t segment_base_offset) {
  if (buffer_.size() < record::kBatchHeaderSize) return false;
  // Bytes made to look like one batch after another could make every position cost a CRC.
  uint64_t budget = kMaxSearchFactor * (file_bytes_ - std::min(from, file_bytes_));
  uint64_t position = from;
  while (position + record::kBatchHeaderSize <= file_bytes_) {
    if (position < buffer_start_ ||
        position + record::kBatchHeaderSize > buffer_start_ + buffer_size_) {
      BARNABAS_TRY(fill(position));
      if (buffer_size_ < record::kBatchHeaderSize) return false;
    }
    const size_t at = static_cast<size_t>(position - buffer_start_);
    const size_t last = buffer_size_ - record::kBatchHeaderSize;  // a header may start up to here
    const auto* magic = static_cast<const uint8_t*>(std::memchr(
        buffer_.data() + at + record::field::kMagicByte, record::kMagic, last - at + 1));
    if (magic == nullptr) {
      position = buffer_start_ + last + 1;
      continue;
    }
    const size_t start = static_cast<size_t>(magic - buffer_.data()) - record::field::kMagicByte;
    position = buffer_start_ + start;
    const record::BatchView view(ByteView(buffer_).subspan(start));
    const uint64_t size = view.size_bytes();
    if (plausible_header(view) && view.base_offset() >= segment_base_offset &&
        view.last_offset() - segment_base_offset <= INT32_MAX && position + size <= file_bytes_) {
      if (size > budget) return true;  // cannot tell at that price: on the safe side
      budget -= size;
      const uint32_t expected = view.crc();
      BARNABAS_ASSIGN(const uint32_t crc, crc_of(position + record::field::kAttributes,
                                                 size - record::field::kAttributes));
      if (crc == expected) return true;
    }
    ++position;
  }
  return false;
}

}  // namespace barnabas::storage
