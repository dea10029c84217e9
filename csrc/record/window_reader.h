// A fixed window over a decompressed stream: a deep check sees the records as they come out and
// never holds more of them than the window.
//
// Ownership: borrows the stream and the window's memory. Thread-safety: belongs to one thread.
#pragma once

#include <cstdint>
#include <cstring>

#include "base/result.h"
#include "record/codec.h"

namespace barnabas::record {

class WindowReader {
 public:
  /// `limit`: the most the stream may expand to, in bytes.
  WindowReader(Decompressor& stream, MutableBytes window, uint64_t limit)
      : stream_(stream), window_(window), limit_(limit) {}

  /// What is in the window now. Valid until the next call of another method.
  [[nodiscard]] ByteView view() const { return window_.subspan(begin_, end_ - begin_); }
  [[nodiscard]] size_t capacity() const { return window_.size(); }
  /// Bytes that came out of the stream so far.
  [[nodiscard]] uint64_t total() const { return total_; }

  /// Makes the view at least `size` bytes long; shorter only when the stream ends.
  /// REQUIRES: size <= capacity(). Error: kMessageTooLarge beyond the limit.
  Status fill(size_t size) {
    if (end_ - begin_ >= size || ended_) return {};
    std::memmove(window_.data(), window_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
    const size_t room = window_.size() - end_;
    BARNABAS_ASSIGN(const size_t got, stream_.read(window_.subspan(end_)));
    end_ += got;
    total_ += got;
    ended_ = got < room;
    if (total_ > limit_) {
      return Error{ErrorCode::kMessageTooLarge, "The records of the batch expand to more than " +
                                                    std::to_string(limit_) + " bytes"};
    }
    return {};
  }

  /// Drops the first `size` bytes of the view. REQUIRES: size <= view().size()
  void consume(size_t size) { begin_ += size; }

  /// Drops `size` bytes of the stream; false when it ends before.
  Result<bool> skip(uint64_t size) {
    while (size > end_ - begin_) {
      size -= end_ - begin_;
      begin_ = end_;
      if (ended_) return false;
      BARNABAS_TRY(fill(1));
    }
    begin_ += static_cast<size_t>(size);
    return true;
  }

 private:
  Decompressor& stream_;
  MutableBytes window_;
  uint64_t limit_;
  uint64_t total_ = 0;  // bytes that came out of the stream
  size_t begin_ = 0;
  size_t end_ = 0;
  bool ended_ = false;
};

}  // namespace barnabas::record
