#include "dataplane/fetch_session.h"

#include <limits>
#include <utility>

namespace barnabas::dataplane {
namespace {

// Of a partition in a session, beside the node itself: its place in the index, and the allocator's
// own.
constexpr size_t kIndexBytes = 64;

size_t memory_of(const CachedPartition& partition) {
  return sizeof partition + kIndexBytes + partition.key.topic.capacity();
}

}  // namespace

bool CachedPartition::update(const PartitionRead& read) {
  bool tell = read.slice.file.length > 0 || read.diverging.leader_epoch >= 0;
  if (high_watermark != read.high_watermark) {
    tell = true;
    high_watermark = read.high_watermark;
  }
  if (log_start_offset != read.log_start_offset) {
    tell = true;
    log_start_offset = read.log_start_offset;
  }
  if (read.error != ErrorCode::kNone) {
    tell = true;
    note_error();
  }
  return tell;
}

int32_t next_session_epoch(int32_t epoch) {
  if (epoch < 0) return kFinalSessionEpoch;
  return epoch == std::numeric_limits<int32_t>::max() ? 1 : epoch + 1;
}

FetchSession::FetchSession(int32_t session_id, bool by_topic_id, int64_t created_ms,
                           Partitions partitions)
    : id(session_id),
      uses_topic_ids(by_topic_id),
      creation_ms(created_ms),
      epoch(next_session_epoch(kInitialSessionEpoch)),
      partitions_(std::move(partitions)) {
  index_.reserve(partitions_.size());
  for (auto it = partitions_.begin(); it != partitions_.end();) {
    if (index_.insert(it).second) {
      memory_bytes_ += memory_of(*it++);
    } else {
      it = partitions_.erase(it);
    }
  }
}

void FetchSession::put(PartitionKey key, const FetchParams& params) {
  if (const auto found = index_.find(key); found != index_.end()) {
    (*found)->params = params;
    return;
  }
  auto& added = partitions_.emplace_back();
  added.key = std::move(key);
  added.params = params;
  index_.insert(std::prev(partitions_.end()));
  memory_bytes_ += memory_of(added);
}

void FetchSession::erase(const PartitionKey& key) {
  const auto found = index_.find(key);
  if (found == index_.end()) return;
  const auto partition = *found;
  memory_bytes_ -= memory_of(*partition);
  index_.erase(found);
  partitions_.erase(partition);
}

FetchSessionCache::FetchSessionCache(size_t max_sessions, Clock& clock)
    : clock_(clock), max_sessions_(max_sessions), random_(std::random_device{}()) {}

FetchSessionPtr FetchSessionCache::find(int32_t id) {
  MutexLock lock(mutex_);
  const auto found = slots_.find(id);
  return found == slots_.end() ? nullptr : found->second.session;
}

void FetchSessionCache::remove(int32_t id) {
  MutexLock lock(mutex_);
  drop(id);
}

int32_t FetchSessionCache::create(bool uses_topic_ids, FetchSession::Partitions partitions) {
  const int64_t now_ms = clock_.monotonic_ms();
  const size_t count = partitions.size();
  size_t bytes = 0;
  for (const auto& partition : partitions) bytes += memory_of(partition);
  if (bytes > kMaxSessionBytes) return kNoSessionId;
  MutexLock lock(mutex_);
  while (slots_.size() >= max_sessions_ || memory_bytes_ + bytes > kMaxSessionBytes) {
    if (!evict_for(count, now_ms)) return kNoSessionId;
  }
  std::uniform_int_distribution<int32_t> ids(1, std::numeric_limits<int32_t>::max());
  int32_t id = ids(random_);
  while (slots_.contains(id)) id = ids(random_);
  Slot& slot = slots_[id];
  slot.session = std::make_shared<FetchSession>(id, uses_topic_ids, now_ms, std::move(partitions));
  slot.partition_count = count;
  slot.memory_bytes = bytes;
  place(slot, now_ms);
  return id;
}

void FetchSessionCache::touch(const FetchSession& session, size_t partition_count,
                              size_t memory_bytes) {
  const int64_t now_ms = clock_.monotonic_ms();
  MutexLock lock(mutex_);
  const auto found = slots_.find(session.id);
  if (found == slots_.end() || found->second.session.get() != &session) return;  // just evicted
  displace(found->second);
  found->second.partition_count = partition_count;
  found->second.memory_bytes = memory_bytes;
  place(found->second, now_ms);
  if (memory_bytes_ > kMaxSessionBytes) drop(session.id);
}

void FetchSessionCache::set_limit(size_t max_sessions) {
  MutexLock lock(mutex_);
  max_sessions_ = max_sessions;
}

size_t FetchSessionCache::size() {
  MutexLock lock(mutex_);
  return slots_.size();
}

size_t FetchSessionCache::partition_count() {
  MutexLock lock(mutex_);
  return partition_count_;
}

size_t FetchSessionCache::memory_bytes() {
  MutexLock lock(mutex_);
  return memory_bytes_;
}

bool FetchSessionCache::evict_for(size_t partition_count, int64_t now_ms) {
  if (last_used_.empty()) return false;
  const auto [used_ms, stale_id] = *last_used_.begin();
  if (now_ms - used_ms > kMinEvictionMs) {
    drop(stale_id);
    return true;
  }
  if (evictable_.empty()) return false;
  const Value least = *evictable_.begin();
  if (Value{partition_count, 0} < least) return false;
  drop(least.second);
  return true;
}

void FetchSessionCache::place(Slot& slot, int64_t now_ms) {
  const FetchSession& session = *slot.session;
  slot.last_used_ms = now_ms;
  partition_count_ += slot.partition_count;
  memory_bytes_ += slot.memory_bytes;
  last_used_.emplace(now_ms, session.id);
  if (now_ms - session.creation_ms > kMinEvictionMs) {
    evictable_.emplace(slot.partition_count, session.id);
  }
}

void FetchSessionCache::displace(const Slot& slot) {
  const FetchSession& session = *slot.session;
  partition_count_ -= slot.partition_count;
  memory_bytes_ -= slot.memory_bytes;
  last_used_.erase({slot.last_used_ms, session.id});
  evictable_.erase({slot.partition_count, session.id});
}

void FetchSessionCache::drop(int32_t id) {
  const auto found = slots_.find(id);
  if (found == slots_.end()) return;
  displace(found->second);
  slots_.erase(found);
}

}  // namespace barnabas::dataplane
