// What a connection still has to send: small pieces copied into one buffer, large ones borrowed,
// all of them handed to the kernel in as few calls as it takes.
//
// Thread-safety: belongs to one thread.
#pragma once

#include <cstdint>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"

namespace barnabas::loadgen {

class Outbox {
 public:
  /// `count` bytes to be written at once: the pointer is valid until the next call.
  uint8_t* grow(size_t count);
  void append(ByteView bytes);
  /// The bytes must live until they are sent.
  void append_borrowed(ByteView bytes);

  /// Sends until nothing is left or the socket takes no more.
  Status flush(int fd);

  [[nodiscard]] bool empty() const { return sent_total_ == appended_total_; }
  [[nodiscard]] uint64_t appended_total() const { return appended_total_; }  // bytes, ever
  [[nodiscard]] uint64_t sent_total() const { return sent_total_; }          // bytes, ever
  [[nodiscard]] size_t buffered_bytes() const { return owned_.size(); }      // copied ones

 private:
  struct Piece {
    const uint8_t* borrowed;  // null: in owned_
    size_t position;          // in owned_, as if nothing had been dropped from its front
    size_t length;
  };
  void consume(size_t count);
  /// Drops what is sent: a socket that is never quite drained must not make it all be kept.
  void drop_sent();

  std::vector<uint8_t> owned_;
  size_t dropped_ = 0;  // bytes, from the front of owned_
  std::vector<Piece> pieces_;
  size_t first_ = 0;       // pieces before it are sent
  size_t first_sent_ = 0;  // bytes of pieces_[first_] that are sent
  uint64_t appended_total_ = 0;
  uint64_t sent_total_ = 0;
};

}  // namespace barnabas::loadgen
