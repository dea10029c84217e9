#include "net/output_queue.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/bytes.h"
#include "base/file_system.h"

namespace barnabas::net {
namespace {

constexpr size_t kMaxIovecs = 64;

int64_t memory_bytes(const Response& response) {
  int64_t total = 0;
  for (const auto& chunk : response.chunks) {
    if (const auto* bytes = std::get_if<Bytes>(&chunk))
      total += static_cast<int64_t>(bytes->size());
  }
  return total;
}

uint64_t total_bytes(const Response& response) {
  uint64_t total = 0;
  for (const auto& c : response.chunks) {
    total += std::holds_alternative<Bytes>(c) ? std::get<Bytes>(c).size()
                                              : std::get<FileSlice>(c).length;
  }
  return total;
}

}  // namespace

OutputQueue::Frame::Frame(Response r) : response(std::move(r)) {
  store_be<uint32_t>(prefix.data(), static_cast<uint32_t>(total_bytes(response)));
}

uint32_t OutputQueue::open_slot() {
  slots_.emplace_back();
  return first_sequence_ + static_cast<uint32_t>(slots_.size() - 1);
}

void OutputQueue::complete(uint32_t sequence, Response response) {
  const uint32_t index = sequence - first_sequence_;  // wraps as sequences do
  if (index >= slots_.size() || slots_[index].has_value()) return;
  if (total_bytes(response) > INT32_MAX) response = Response::close();  // has no length prefix
  unsent_bytes_ += memory_bytes(response);
  close_given_ |= response.kind == Response::Kind::kClose;
  slots_[index] = std::move(response);
  release_answered();
}

void OutputQueue::release_answered() {
  while (!slots_.empty() && slots_.front().has_value()) {
    Response response = std::move(*slots_.front());
    slots_.pop_front();
    ++first_sequence_;
    if (close_reached_) {
      unsent_bytes_ -= memory_bytes(response);
    } else if (response.kind == Response::Kind::kClose) {
      close_reached_ = true;
    } else if (response.kind == Response::Kind::kSend) {
      frames_.emplace_back(std::move(response));
    }
  }
}

OutputQueue::FlushResult OutputQueue::flush(int fd) {
  const uint64_t end = bytes_sent_ + kMaxFlushBytes;
  while (!frames_.empty()) {
    if (bytes_sent_ >= end) return FlushResult::kBlocked;
    const FlushResult result = send_front(fd, end - bytes_sent_);
    while (!frames_.empty() && frames_.front().done()) frames_.pop_front();
    if (result != FlushResult::kDrained) return result;
  }
  return close_reached_ ? FlushResult::kClosed : FlushResult::kDrained;
}

/// One call for memory, some for a file range. kDrained: it went well, go on.
OutputQueue::FlushResult OutputQueue::send_front(int fd, uint64_t budget_bytes) {
  Frame& front = frames_.front();
  const bool at_file = front.prefix_sent == front.prefix.size() && !front.done() &&
                       std::holds_alternative<FileSlice>(front.response.chunks[front.chunk]);
  if (!at_file) return send_memory(fd);
  return send_file(fd, front, std::get<FileSlice>(front.response.chunks[front.chunk]),
                   budget_bytes);
}

OutputQueue::FlushResult OutputQueue::send_memory(int fd) {
  std::array<iovec, kMaxIovecs> iov;
  size_t count = 0;
  bool file_follows = false;
  for (Frame& frame : frames_) {
    if (count + 2 > iov.size() || file_follows) break;
    if (frame.prefix_sent < frame.prefix.size()) {
      iov[count++] = {frame.prefix.data() + frame.prefix_sent,
                      frame.prefix.size() - frame.prefix_sent};
    }
    uint64_t skip = frame.chunk_sent;
    for (size_t i = frame.chunk; i < frame.response.chunks.size() && count < iov.size(); ++i) {
      auto* bytes = std::get_if<Bytes>(&frame.response.chunks[i]);
      file_follows = bytes == nullptr;
      if (file_follows) break;
      if (bytes->size() > skip) iov[count++] = {bytes->data() + skip, bytes->size() - skip};
      skip = 0;
    }
  }
  msghdr message{};
  message.msg_iov = iov.data();
  message.msg_iovlen = count;
  // MSG_MORE: the header of a fetch answer travels with the first bytes of its file range.
  const int flags = MSG_NOSIGNAL | MSG_DONTWAIT | (file_follows ? MSG_MORE : 0);
  ssize_t n = 0;
  if (count > 0) {
    do {
      n = ::sendmsg(fd, &message, flags);
    } while (n < 0 && errno == EINTR);
  }
  if (n < 0) {
    if (errno == EAGAIN || errno == EWOULDBLOCK) return FlushResult::kBlocked;
    failure_ = std::string("send: ") + std::strerror(errno);
    return FlushResult::kFailed;
  }
  consume(static_cast<size_t>(n));
  return FlushResult::kDrained;
}

void OutputQueue::consume(size_t bytes) {
  bytes_sent_ += bytes;
  for (Frame& frame : frames_) {
    const size_t prefix = std::min(bytes, frame.prefix.size() - frame.prefix_sent);
    frame.prefix_sent += prefix;
    bytes -= prefix;
    if (frame.prefix_sent < frame.prefix.size()) return;
    while (frame.chunk < frame.response.chunks.size()) {
      auto* chunk = std::get_if<Bytes>(&frame.response.chunks[frame.chunk]);
      if (chunk == nullptr) return;
      const uint64_t take = std::min<uint64_t>(bytes, chunk->size() - frame.chunk_sent);
      frame.chunk_sent += take;
      bytes -= take;
      unsent_bytes_ -= static_cast<int64_t>(take);
      if (frame.chunk_sent < chunk->size()) return;
      ++frame.chunk;
      frame.chunk_sent = 0;
    }
  }
}

OutputQueue::FlushResult OutputQueue::send_file(int fd, Frame& frame, const FileSlice& slice,
                                                uint64_t budget_bytes) {
  const uint64_t end = bytes_sent_ + budget_bytes;
  while (frame.chunk_sent < slice.length) {
    if (bytes_sent_ >= end) return FlushResult::kBlocked;
    auto position = static_cast<off_t>(slice.position + frame.chunk_sent);
    const size_t wanted =
        static_cast<size_t>(std::min(slice.length - frame.chunk_sent, end - bytes_sent_));
    const ssize_t n = file_system().sendfile(fd, slice.file->get(), &position, wanted);
    if (n < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN || errno == EWOULDBLOCK) return FlushResult::kBlocked;
      failure_ = std::string("sendfile: ") + std::strerror(errno);
      return FlushResult::kFailed;
    }
    if (n == 0) {  // the header already promised more bytes than there are
      failure_ = "sendfile: the file is shorter than the range to send";
      return FlushResult::kFailed;
    }
    frame.chunk_sent += static_cast<uint64_t>(n);
    bytes_sent_ += static_cast<uint64_t>(n);
  }
  ++frame.chunk;
  frame.chunk_sent = 0;
  return FlushResult::kDrained;
}

}  // namespace barnabas::net
