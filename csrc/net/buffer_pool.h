// Blocks of memory for frames on their way in, kept for the next large frame: a block fresh from
// the system costs a page fault for every 4 KiB of a produce request.
//
// Small and huge blocks are not kept, and all that is kept stays under kMaxPooledBytes.
//
// Thread-safety: belongs to one reactor's thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <vector>

namespace barnabas::net {

/// A block from malloc, so that it can grow with realloc.
struct Block {
  struct Free {
    void operator()(uint8_t* p) const { std::free(p); }
  };
  std::unique_ptr<uint8_t, Free> data;
  size_t capacity = 0;
};

class BufferPool {
 public:
  static constexpr size_t kMinPooledBytes = 64 << 10;
  static constexpr size_t kMaxPooledBytes = 8 << 20;

  /// A kept block of at least `capacity` bytes, or an empty one.
  Block take(size_t capacity);
  /// Keeps the block, or frees it.
  void give(Block block);
  [[nodiscard]] size_t pooled_bytes() const { return pooled_bytes_; }

 private:
  std::vector<Block> blocks_;
  size_t pooled_bytes_ = 0;
};

}  // namespace barnabas::net
