#include "net/input_buffer.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace barnabas::net {
namespace {

constexpr size_t kFirstCapacity = 4096;

}  // namespace

/// Makes room for `needed` bytes more, and for `wanted` more when that takes no new memory.
void InputBuffer::make_room(size_t needed, size_t wanted) {
  const size_t size = end_ - begin_;
  if (end_ + wanted <= block_.capacity) return;
  if (size + wanted >= BufferPool::kMinPooledBytes) {
    if (Block pooled = pool_.take(size + wanted); pooled.capacity > 0) {
      if (size > 0) std::memcpy(pooled.data.get(), block_.data.get() + begin_, size);
      std::swap(block_, pooled);
      pool_.give(std::move(pooled));
      begin_ = 0;
      end_ = size;
      return;
    }
  }
  if (end_ + needed <= block_.capacity) return;
  if (begin_ > 0) std::memmove(block_.data.get(), block_.data.get() + begin_, size);
  begin_ = 0;
  end_ = size;
  if (end_ + needed <= block_.capacity) return;
  const size_t capacity = std::max({kFirstCapacity, block_.capacity * 2, size + needed});
  // realloc moves large blocks by remapping pages, not by copying them.
  auto* grown = static_cast<uint8_t*>(std::realloc(block_.data.get(), capacity));
  if (grown == nullptr) std::abort();  // out of memory: no frame is worth limping on
  static_cast<void>(block_.data.release());
  block_.data.reset(grown);
  block_.capacity = capacity;
}

void InputBuffer::append(ByteView bytes) {
  if (bytes.empty()) return;
  make_room(bytes.size(), bytes.size());
  std::memcpy(block_.data.get() + end_, bytes.data(), bytes.size());
  end_ += bytes.size();
}

MutableBytes InputBuffer::room(size_t wanted) {
  make_room(1, wanted);
  return {block_.data.get() + end_, std::min(wanted, block_.capacity - end_)};
}

void InputBuffer::consume(size_t count) {
  begin_ += count;
  if (begin_ < end_) return;
  begin_ = end_ = 0;
  pool_.give(std::exchange(block_, {}));
}

}  // namespace barnabas::net
