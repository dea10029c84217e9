#include "storage/batch_reader.h"

#include <fcntl.h>

#include <algorithm>

#include "base/crc32c.h"
#include "base/fd.h"
#include "storage/batch_cursor.h"

namespace barnabas::storage {

BatchReader::BatchReader(int fd, std::string path, uint64_t end, size_t buffer_bytes)
    : fd_(fd),
      path_(std::move(path)),
      end_(end),
      buffer_(std::max(buffer_bytes, record::kBatchHeaderSize)) {
  ::posix_fadvise(fd_, 0, 0, POSIX_FADV_SEQUENTIAL);
}

Error BatchReader::corrupt(const char* why) const {
  return Error{ErrorCode::kCorruptMessage,
               path_ + ": " + why + " at byte " + std::to_string(position_), 0};
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
  const auto view_here = [this] {
    const size_t at = static_cast<size_t>(position_ - buffer_start_);
    return record::BatchView(ByteView(buffer_.data() + at, buffer_size_ - at));
  };
  const record::BatchView header = view_here();
  if (!plausible_header(header)) return corrupt("no batch");
  const size_t size = header.size_bytes();
  if (size > end_ - position_) return corrupt("a cut off batch");
  BARNABAS_TRY(fill(size));
  const Batch batch{view_here(), position_};
  if (crc32c(batch.view.crc_payload()) != batch.view.crc()) {
    return corrupt("a batch whose CRC does not match");
  }
  position_ += size;
  return std::optional(batch);
}

}  // namespace barnabas::storage
