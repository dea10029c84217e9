#include "loadgen/outbox.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace barnabas::loadgen {

uint8_t* Outbox::grow(size_t count) {
  const size_t position = owned_.size();
  owned_.resize(position + count);
  appended_total_ += count;
  if (!pieces_.empty() && pieces_.back().borrowed == nullptr) {
    pieces_.back().length += count;
  } else {
    pieces_.push_back({nullptr, dropped_ + position, count});
  }
  return owned_.data() + position;
}

void Outbox::append(ByteView bytes) {
  if (!bytes.empty()) std::memcpy(grow(bytes.size()), bytes.data(), bytes.size());
}

void Outbox::append_borrowed(ByteView bytes) {
  pieces_.push_back({bytes.data(), 0, bytes.size()});
  appended_total_ += bytes.size();
}

Status Outbox::flush(int fd) {
  constexpr size_t kMaxPieces = 64;  // of one call
  std::array<iovec, kMaxPieces> vectors;
  while (first_ < pieces_.size()) {
    size_t count = 0;
    size_t skip = first_sent_;
    for (size_t i = first_; i < pieces_.size() && count < kMaxPieces; ++i, skip = 0) {
      const Piece& piece = pieces_[i];
      const uint8_t* from =
          piece.borrowed != nullptr ? piece.borrowed : owned_.data() + piece.position - dropped_;
      vectors[count++] = {const_cast<uint8_t*>(from + skip), piece.length - skip};
    }
    msghdr message{};
    message.msg_iov = vectors.data();
    message.msg_iovlen = count;
    const ssize_t sent = ::sendmsg(fd, &message, MSG_NOSIGNAL);
    if (sent < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN || errno == EWOULDBLOCK) {
        drop_sent();
        return {};
      }
      return system_error("send", ErrorCode::kNetworkException);
    }
    consume(static_cast<size_t>(sent));
  }
  owned_.clear();
  pieces_.clear();
  first_ = first_sent_ = dropped_ = 0;
  return {};
}

void Outbox::consume(size_t count) {
  sent_total_ += count;
  while (count > 0) {
    const size_t left = pieces_[first_].length - first_sent_;
    if (count < left) {
      first_sent_ += count;
      return;
    }
    count -= left;
    ++first_;
    first_sent_ = 0;
  }
}

void Outbox::drop_sent() {
  pieces_.erase(pieces_.begin(), pieces_.begin() + static_cast<ptrdiff_t>(first_));
  first_ = 0;
  const auto kept = std::find_if(pieces_.begin(), pieces_.end(),
                                 [](const Piece& piece) { return piece.borrowed == nullptr; });
  const size_t count = kept == pieces_.end() ? owned_.size() : kept->position - dropped_;
  if (count <= owned_.size() / 2) return;  // moving the rest has to pay
  owned_.erase(owned_.begin(), owned_.begin() + static_cast<ptrdiff_t>(count));
  dropped_ += count;
}

}  // namespace barnabas::loadgen
