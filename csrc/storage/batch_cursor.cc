#include "storage/batch_cursor.h"

#include <algorithm>
#include <utility>

#include "base/fd.h"

namespace barnabas::storage {

bool plausible_frame(const record::BatchView& view) {
  return view.magic() == record::kMagic &&
         view.batch_length() >=
             static_cast<int32_t>(record::kBatchHeaderSize - record::kBatchOverhead) &&
         view.last_offset_delta() >= 0 && view.record_count() >= 0;
}

bool plausible_header(const record::BatchView& view) {
  constexpr int64_t kMaxBaseOffset = INT64_MAX - INT32_MAX - 1;  // the next one still fits
  return plausible_frame(view) && view.base_offset() >= 0 && view.base_offset() <= kMaxBaseOffset;
}

Result<std::optional<Following>> following_at(int fd, const std::string& path, uint64_t position,
                                              uint64_t end, ByteView in_memory) {
  const std::optional<Following> none;
  if (end - position < record::kBatchHeaderSize) return none;
  std::array<uint8_t, record::kBatchHeaderSize> header;
  if (in_memory.size() < header.size()) {
    BARNABAS_ASSIGN(const size_t got, read_at(fd, header, position, path));
    if (got < header.size()) return none;
    in_memory = header;
  }
  const record::BatchView view(in_memory);
  if (!plausible_header(view)) return none;
  return std::optional(Following{view.base_offset(), view.leader_epoch()});
}

Result<std::optional<BatchCursor::Batch>> BatchCursor::next() & {
  if (position_ >= end_) return std::optional<Batch>();
  const uint64_t left = end_ - position_;
  const auto corrupt = [this](const char* why) {
    return Error{ErrorCode::kCorruptMessage,
                 path_ + ": " + why + " at byte " + std::to_string(position_), 0};
  };
  if (left < record::kBatchHeaderSize) return corrupt("a cut off batch");
  const auto is_read = [this](uint64_t bytes) {
    return position_ >= window_start_ && position_ + bytes <= window_start_ + window_size_;
  };
  const auto rest = [this] {
    const size_t at = static_cast<size_t>(position_ - window_start_);
    return ByteView(window_.data() + at, window_size_ - at);
  };
  if (!is_read(record::kBatchHeaderSize)) {
    BARNABAS_TRY(read_window(left));
    if (window_size_ < record::kBatchHeaderSize) return corrupt("a cut off batch");
  }
  // What a marker says lies behind its header.
  const record::BatchView header(rest());
  if (header.is_control() &&
      !is_read(std::min<uint64_t>({header.size_bytes(), left, kFirstWindowBytes}))) {
    BARNABAS_TRY(read_window(left));
    if (window_size_ < record::kBatchHeaderSize) return corrupt("a cut off batch");
  }
  const record::BatchView view(rest());
  if (!plausible_header(view)) return corrupt("no batch");
  if (view.size_bytes() > left) return corrupt("a cut off batch");
  Batch batch{view, rest().first(std::min(rest().size(), view.size_bytes())), position_, true};
  position_ += view.size_bytes();
  if (!order_.take_next(view)) {
    BARNABAS_ASSIGN(batch.in_place, take(view, batch.position));
  }
  return std::optional(batch);
}

Result<bool> BatchCursor::take(const record::BatchView& view, uint64_t position) {
  std::optional<Following> following;
  if (order_.leaves_gap(view)) {
    const uint64_t window_end = window_start_ + window_size_;
    const auto in_memory =
        ByteView(window_)
            .first(window_size_)
            .last(static_cast<size_t>(window_end - std::min(position_, window_end)));
    BARNABAS_ASSIGN(following, following_at(fd_, path_, position_, end_, in_memory));
  }
  std::optional<std::string> odd = order_.take(view, following);
  if (!odd) return true;
  odd_ = path_ + ": " + *odd + " at byte " + std::to_string(position);
  return false;
}

Status BatchCursor::read_window(uint64_t left) {
  const bool adjoining = window_size_ > 0 && position_ <= window_start_ + window_size_;
  next_window_bytes_ =
      adjoining ? std::min(2 * next_window_bytes_, kWindowBytes) : kFirstWindowBytes;
  const size_t wanted = static_cast<size_t>(std::min<uint64_t>(next_window_bytes_, left));
  BARNABAS_ASSIGN(window_size_,
                  read_at(fd_, MutableBytes(window_.data(), wanted), position_, path_));
  window_start_ = position_;
  return {};
}

Result<FoundBatch> BatchCursor::find(int64_t offset) {
  FoundBatch found;
  while (true) {
    BARNABAS_ASSIGN(const auto batch, next());
    if (!batch) return found;
    if (!batch->in_place) {
      found.odd_range.add({batch->position, batch->position + batch->view.size_bytes()});
      if (std::exchange(found.certain, false)) found.odd = odd_;
    } else if (batch->view.last_offset() >= offset) {
      found.batch = position_of(*batch);
      found.certain = found.certain || found.batch->base_offset <= offset;
      return found;
    }
  }
}

BatchPosition BatchCursor::position_of(const Batch& batch) {
  return {batch.view.base_offset(), batch.view.last_offset(), batch.position,
          batch.view.size_bytes()};
}

}  // namespace barnabas::storage
