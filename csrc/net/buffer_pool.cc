#include "net/buffer_pool.h"

#include <algorithm>
#include <utility>

namespace barnabas::net {

Block BufferPool::take(size_t capacity) {
  // The one given last that is large enough: its pages are the warmest.
  const auto found = std::find_if(blocks_.rbegin(), blocks_.rend(),
                                  [&](const Block& block) { return block.capacity >= capacity; });
  if (found == blocks_.rend()) return {};
  Block block = std::move(*found);
  blocks_.erase(std::next(found).base());
  pooled_bytes_ -= block.capacity;
  return block;
}

void BufferPool::give(Block block) {
  if (block.capacity < kMinPooledBytes || pooled_bytes_ + block.capacity > kMaxPooledBytes) return;
  pooled_bytes_ += block.capacity;
  blocks_.push_back(std::move(block));
}

}  // namespace barnabas::net
