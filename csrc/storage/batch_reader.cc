#include "storage/batch_reader.h"

#include <fcntl.h>

#include <algorithm>

#include "base/crc32c.h"
#include "base/fd.h"
#include "storage/batch_cursor.h"

namespace barnabas::storage {

BatchReader::BatchReader(int fd, std::string path, uint64_t begin, uint64_t end,
                         size_t buffer_bytes, const OffsetOrder& order)
    : fd_(fd),
      path_(std::move(path)),
      end_(end),
      position_(begin),
      order_(order),
      buffer_(std::max(buffer_bytes, record::kBatchHeaderSize)) {
  ::posix_fadvise(fd_, 0, 0, POSIX_FADV_SEQUENTIAL);
}

Error BatchReader::corrupt(const std::string& why) const {
  return Error{ErrorCode::kCorruptMessage,
               path_ + ": " + why + " at byte " + std::to_string(position_), 0};
}

ByteView BatchReader::buffered(uint64_t position) const {
  const uint64_t buffer_end = buffer_start_ + buffer_size_;
  if (position < buffer_start_ || position >= buffer_end) return {};
  return ByteView(buffer_).first(buffer_size_).last(static_cast<size_t>(buffer_end - position));
}

Status BatchReader::fill(size_t bytes) {
  if (position_ >= buffer_start_ && position_ + bytes <= buffer_start_ + buffer_size_) return {};
  if (bytes > buffer_.size()) buffer_.resize(bytes);
  const size_t wanted = static_cast<size_t>(std::min<uint64_t>(buffer_.size(), end_ - position_));
  BARNABAS_ASSIGN(buffer_size_,
                  read_at(fd_, MutableBytes(buffer_.data(), wanted), position_, path_));
  buffer_start_ = position_;
  return buffer_size_ < bytes ? Status(corrupt("the file ends early")) : Status();
}

Result<std::optional<BatchReader::Batch>> BatchReader::next() {
  if (position_ >= end_) return std::optional<Batch>();
  if (end_ - position_ < record::kBatchHeaderSize) return corrupt("a cut off batch");
  BARNABAS_TRY(fill(record::kBatchHeaderSize));
  const record::BatchView header(buffered(position_));
  if (!plausible_header(header)) return corrupt("no batch");
  const size_t size = header.size_bytes();
  if (size > end_ - position_) return corrupt("a cut off batch");
  BARNABAS_TRY(fill(size));
  const Batch batch{record::BatchView(buffered(position_)), position_};
  if (crc32c(batch.view.crc_payload()) != batch.view.crc()) {
    return corrupt("a batch whose CRC does not match");
  }
  std::optional<Following> following;
  if (order_.leaves_gap(batch.view)) {
    const uint64_t behind = position_ + size;
    BARNABAS_ASSIGN(following, following_at(fd_, path_, behind, end_, buffered(behind)));
  }
  if (const auto odd = order_.take(batch.view, following)) {
    out_of_place_ = true;
    return corrupt(*odd);
  }
  position_ += size;
  return std::optional(batch);
}

}  // namespace barnabas::storage
