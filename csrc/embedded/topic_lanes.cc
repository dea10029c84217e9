#include "embedded/topic_lanes.h"

#include <utility>

#include "record/key_hash.h"

namespace barnabas::embedded {

int32_t TopicLanes::choose(const std::optional<ByteView>& key) const {
  const int32_t count = this->count();
  if (key) return record::partition_of_key(*key, count);
  const int32_t keyless = keyless_.load(std::memory_order_relaxed);
  return keyless < count ? keyless : keyless % count;
}

void TopicLanes::move_on(int32_t partition) {
  const int32_t count = this->count();
  int32_t keyless = keyless_.load(std::memory_order_relaxed);
  // Of several that see the same batch end, one moves on.
  if (keyless % count == partition) {
    keyless_.compare_exchange_strong(keyless, (partition + 1) % count);
  }
}

void TopicLanes::drain(int32_t partition, const Outcome* only) {
  if (!(*this)[partition].drain(only)) return;
  move_on(partition);
  (void)refresh().ok();  // a topic that is gone has refused the batch already
}

Status TopicLanes::refresh() {
  const uint64_t changes = changes_.load(std::memory_order_acquire);  // before it is looked for
  auto found = engine_.topic_shape(name_);
  found_at_.store(found.ok() ? changes : kNotFound, std::memory_order_relaxed);
  BARNABAS_ASSIGN(auto shape, std::move(found));
  max_message_bytes_ = static_cast<size_t>(shape.max_message_bytes);
  if (count() == shape.partition_count) return {};
  MutexLock lock(mutex_);
  BARNABAS_ASSIGN(shape, engine_.topic_shape(name_));  // of two changes the later one is to stay
  while (owned_.size() < static_cast<size_t>(shape.partition_count)) {
    const auto partition = static_cast<int32_t>(owned_.size());
    owned_.push_back(std::make_unique<Lane>(engine_, name_, partition, options_, teller_));
    if (closed_) owned_.back()->close();
  }
  auto lanes = std::make_unique<Lanes>();
  for (const auto& lane : owned_) lanes->push_back(lane.get());
  lanes_.store(lanes.get(), std::memory_order_release);
  snapshots_.push_back(std::move(lanes));
  count_.store(shape.partition_count, std::memory_order_release);
  return {};
}

void TopicLanes::close() {
  {
    MutexLock lock(mutex_);
    closed_ = true;
  }
  for (int32_t partition = 0; partition < size(); ++partition) (*this)[partition].close();
}

}  // namespace barnabas::embedded
