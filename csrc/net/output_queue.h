// The answers of one connection, sent in the order of its requests whatever order they finish in.
//
// Each request opens a slot; an answer fills it; what stands filled at the front is sent: memory
// with sendmsg (several answers in one call), file ranges with sendfile.
//
// Owns the responses until their last byte is out. One flush() sends kMaxFlushBytes at most, so
// that one eager reader does not keep the reactor from the others.
//
// Thread-safety: belongs to one reactor's thread.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>

#include "net/response.h"

namespace barnabas::net {

class OutputQueue {
 public:
  static constexpr uint64_t kMaxFlushBytes = 2 << 20;

  enum class FlushResult : uint8_t {
    kDrained,  // nothing more can be sent now
    kBlocked,  // the socket is full or the share used up: flush again when it is writable
    kClosed,   // a Kind::kClose was reached, everything before it is out
    kFailed,   // the peer is gone or a file is shorter than its slice: close
  };

  /// A slot for the request that was just parsed; its sequence.
  uint32_t open_slot();
  /// Takes back the slot that was opened last: its request was not accepted.
  void drop_last_slot() { slots_.pop_back(); }
  /// Whether that request was answered (or never opened).
  [[nodiscard]] bool answered(uint32_t sequence) const {
    const uint32_t index = sequence - first_sequence_;  // wraps as sequences do
    return index >= slots_.size() || slots_[index].has_value();
  }
  /// The answer; one longer than a length prefix can say (an int32) closes the connection instead.
  /// Ignored when the sequence is not open or already answered.
  void complete(uint32_t sequence, Response response);
  /// Sends what can be sent without blocking; `failure()` says why after kFailed.
  FlushResult flush(int fd);

  /// Requests not yet answered, or whose answer waits for an earlier one.
  [[nodiscard]] size_t unanswered() const { return slots_.size(); }
  /// Those, and answers that are not out yet.
  [[nodiscard]] size_t in_flight() const { return slots_.size() + frames_.size(); }
  /// A Kind::kClose was given: no further request would be answered.
  [[nodiscard]] bool closing() const { return close_given_; }
  /// Bytes of memory in answers that are not out yet.
  [[nodiscard]] int64_t unsent_bytes() const { return unsent_bytes_; }
  [[nodiscard]] bool has_output() const { return !frames_.empty(); }
  [[nodiscard]] uint64_t bytes_sent() const { return bytes_sent_; }
  [[nodiscard]] const std::string& failure() const { return failure_; }

 private:
  /// A response on its way out, with its length prefix and how far it is.
  struct Frame {
    std::array<uint8_t, 4> prefix{};
    Response response;
    size_t prefix_sent = 0;
    size_t chunk = 0;         // the first that is not out
    uint64_t chunk_sent = 0;  // bytes of it

    explicit Frame(Response r);
    [[nodiscard]] bool done() const {
      return prefix_sent == prefix.size() && chunk == response.chunks.size();
    }
  };

  void release_answered();
  FlushResult send_front(int fd, uint64_t budget_bytes);
  FlushResult send_memory(int fd);
  FlushResult send_file(int fd, Frame& frame, const FileSlice& slice, uint64_t budget_bytes);
  void consume(size_t bytes);

  std::deque<std::optional<Response>> slots_;  // unanswered ones are nullopt
  uint32_t first_sequence_ = 0;                // of slots_.front()
  std::deque<Frame> frames_;
  bool close_given_ = false;    // a Kind::kClose stands somewhere in slots_, or
  bool close_reached_ = false;  // behind frames_
  int64_t unsent_bytes_ = 0;
  uint64_t bytes_sent_ = 0;
  std::string failure_;
};

}  // namespace barnabas::net
