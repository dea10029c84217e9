#include "dataplane/fetch_session.h"

#include <cassert>
#include <limits>
#include <utility>

namespace barnabas::dataplane {

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
    high_watermark = -1;  // once the error is gone the client hears of it
  }
  return tell;
}

int32_t next_session_epoch(int32_t epoch) {
  if (epoch < 0) return kFinalSessionEpoch;
  return epoch == std::numeric_limits<int32_t>::max() ? 1 : epoch + 1;
}

FetchSession::FetchSession(int32_t session_id, bool is_privileged, bool by_topic_id,
                           int64_t created_ms, Partitions partitions)
    : id(session_id),
      privileged(is_privileged),
      uses_topic_ids(by_topic_id),
      creation_ms(created_ms),
      epoch(next_session_epoch(kInitialSessionEpoch)),
      partitions_(std::move(partitions)) {
  index_.reserve(partitions_.size());
  for (auto it = partitions_.begin(); it != partitions_.end();) {
    it = index_.emplace(it->key, it).second ? std::next(it) : partitions_.erase(it);
  }
}

void FetchSession::put(PartitionKey key, const FetchParams& params) {
  if (const auto found = index_.find(key); found != index_.end()) {
    found->second->params = params;
    return;
  }
  auto& added = partitions_.emplace_back();
  added.key = std::move(key);
  added.params = params;
  index_.emplace(added.key, std::prev(partitions_.end()));
}

void FetchSession::erase(const PartitionKey& key) {
  const auto found = index_.find(key);
  if (found == index_.end()) return;
  partitions_.erase(found->second);
  index_.erase(found);
}

void FetchSession::rotate(const CachedPartition& partition) {
  const auto found = index_.find(partition.key);
  assert(found != index_.end());
  partitions_.splice(partitions_.end(), partitions_, found->second);
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

int32_t FetchSessionCache::create(bool privileged, bool uses_topic_ids,
                                  FetchSession::Partitions partitions) {
  const int64_t now_ms = clock_.monotonic_ms();
  const size_t count = partitions.size();
  MutexLock lock(mutex_);
  if (slots_.size() >= max_sessions_ && !evict_for(privileged, count, now_ms)) {
    return kNoSessionId;
  }
  std::uniform_int_distribution<int32_t> ids(1, std::numeric_limits<int32_t>::max());
  int32_t id = ids(random_);
  while (slots_.contains(id)) id = ids(random_);
  Slot& slot = slots_[id];
  slot.session =
      std::make_shared<FetchSession>(id, privileged, uses_topic_ids, now_ms, std::move(partitions));
  slot.partition_count = count;
  place(slot, now_ms);
  return id;
}

void FetchSessionCache::touch(const FetchSession& session, size_t partition_count) {
  const int64_t now_ms = clock_.monotonic_ms();
  MutexLock lock(mutex_);
  const auto found = slots_.find(session.id);
  if (found == slots_.end() || found->second.session.get() != &session) return;  // just evicted
  displace(found->second);
  found->second.partition_count = partition_count;
  place(found->second, now_ms);
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

bool FetchSessionCache::evict_for(bool privileged, size_t partition_count, int64_t now_ms) {
  if (last_used_.empty()) return false;
  const auto [used_ms, stale_id] = *last_used_.begin();
  if (now_ms - used_ms > kMinEvictionMs) {
    drop(stale_id);
    return true;
  }
  const auto& evictable = privileged ? evictable_by_privileged_ : evictable_by_all_;
  if (evictable.empty()) return false;
  const Value least = *evictable.begin();
  if (Value{privileged, partition_count, 0} < least) return false;
  drop(std::get<2>(least));
  return true;
}

void FetchSessionCache::place(Slot& slot, int64_t now_ms) {
  const FetchSession& session = *slot.session;
  slot.last_used_ms = now_ms;
  partition_count_ += slot.partition_count;
  last_used_.emplace(now_ms, session.id);
  const Value value{session.privileged, slot.partition_count, session.id};
  const bool old = now_ms - session.creation_ms > kMinEvictionMs;
  if (!session.privileged || old) evictable_by_privileged_.insert(value);
  if (old) evictable_by_all_.insert(value);
}

void FetchSessionCache::displace(const Slot& slot) {
  const FetchSession& session = *slot.session;
  partition_count_ -= slot.partition_count;
  last_used_.erase({slot.last_used_ms, session.id});
  const Value value{session.privileged, slot.partition_count, session.id};
  evictable_by_privileged_.erase(value);
  evictable_by_all_.erase(value);
}

void FetchSessionCache::drop(int32_t id) {
  const auto found = slots_.find(id);
  if (found == slots_.end()) return;
  displace(found->second);
  slots_.erase(found);
}

}  // namespace barnabas::dataplane
