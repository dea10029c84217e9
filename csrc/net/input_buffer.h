// The bytes of a connection that do not yet make a whole frame (or wait for room downstream).
// Empty most of the time: whole frames are handled in the reactor's shared buffer.
//
// Grows with the bytes that arrive, never by the length that a client claims; only a block that the
// pool has anyway may be larger. Owns its block, borrows the pool, which outlives it.
//
// Thread-safety: belongs to one reactor's thread.
#pragma once

#include <cstdint>

#include "base/bytes.h"
#include "net/buffer_pool.h"

namespace barnabas::net {

class InputBuffer {
 public:
  explicit InputBuffer(BufferPool& pool) : pool_(pool) {}
  ~InputBuffer() { pool_.give(std::move(block_)); }
  InputBuffer(const InputBuffer&) = delete;
  InputBuffer& operator=(const InputBuffer&) = delete;

  [[nodiscard]] bool empty() const { return begin_ == end_; }
  [[nodiscard]] MutableBytes bytes() { return {block_.data.get() + begin_, end_ - begin_}; }
  /// More bytes take more memory.
  [[nodiscard]] bool is_full() const { return end_ == block_.capacity; }
  [[nodiscard]] size_t capacity() const { return block_.capacity; }

  void append(ByteView bytes);
  /// Room after the bytes for at most `wanted` more, at least one.
  /// REQUIRES: wanted > 0
  MutableBytes room(size_t wanted);
  /// `count` bytes of room() were filled.
  void commit(size_t count) { end_ += count; }
  /// Drops the first `count` bytes; an empty buffer gives its block away.
  void consume(size_t count);

 private:
  void make_room(size_t needed, size_t wanted);

  BufferPool& pool_;
  Block block_;
  size_t begin_ = 0;  // of the bytes, in the block
  size_t end_ = 0;
};

}  // namespace barnabas::net
