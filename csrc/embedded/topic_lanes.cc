#include "embedded/topic_lanes.h"

#include <utility>

#include "record/key_hash.h"

namespace barnabas::embedded {

int32_t TopicLanes::choose(const std::optional<ByteView>& key) const {
  return key ? record::partition_of_key(*key, count()) : keyless_.load(std::memory_order_relaxed);
}

void TopicLanes::move_on(int32_t partition) {
  // Of several that see the same batch end, one moves on.
  keyless_.compare_exchange_strong(partition, (partition + 1) % count());
}

Status TopicLanes::refresh() {
  BARNABAS_ASSIGN(const auto shape, engine_.topic_shape(name_));
  max_message_bytes_ = static_cast<size_t>(shape.max_message_bytes);
  if (count() >= shape.partition_count) return {};
  MutexLock lock(mutex_);
  while (owned_.size() < static_cast<size_t>(shape.partition_count)) {
    const auto partition = static_cast<int32_t>(owned_.size());
    owned_.push_back(std::make_unique<Lane>(engine_, name_, partition, options_));
  }
  auto lanes = std::make_unique<Lanes>();
  for (const auto& lane : owned_) lanes->push_back(lane.get());
  lanes_.store(lanes.get(), std::memory_order_release);
  snapshots_.push_back(std::move(lanes));
  return {};
}

}  // namespace barnabas::embedded
