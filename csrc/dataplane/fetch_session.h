// Incremental fetch sessions (KIP-227): the broker remembers which partitions a client fetches, the
// client sends only what changes, the answer holds only what is new.
//
// A session's epoch counts its requests: every request that is accepted moves it, before anything
// else of the session changes. Whoever holds the epoch of the last request is the only one to touch
// the session; an answer that finds another epoch is a duplicate's.
//
// Ownership: the cache shares sessions with requests under way. Sessions refer weakly to
// partitions.
//
// Thread-safety: the cache is safe from every thread; a session's mutex guards what is in it. The
// cache's lock is never held while a session's is taken.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "base/clock.h"
#include "base/thread_annotations.h"
#include "base/uuid.h"
#include "dataplane/partition.h"

namespace barnabas::dataplane {

inline constexpr int32_t kNoSessionId = 0;
inline constexpr int32_t kInitialSessionEpoch = 0;
inline constexpr int32_t kFinalSessionEpoch = -1;

/// A partition as the client names it: by topic id (and an empty name), or by name (and a zero id).
struct PartitionKey {
  Uuid topic_id;
  std::string topic;
  int32_t partition = 0;
  friend bool operator==(const PartitionKey&, const PartitionKey&) = default;
};

struct PartitionKeyHash {
  size_t operator()(const PartitionKey& key) const noexcept {
    return std::hash<Uuid>{}(key.topic_id) ^ std::hash<std::string>{}(key.topic) ^
           (static_cast<size_t>(key.partition) * 0x9e3779b97f4a7c15ULL);
  }
};

/// What a session remembers of a partition.
struct CachedPartition {
  PartitionKey key;
  FetchParams params;
  std::string resolved_name;           // of the topic, once its id was known
  std::weak_ptr<Partition> partition;  // as last resolved
  int64_t high_watermark = -1;         // as the client was last told; -1: tell it again
  int64_t log_start_offset = -1;

  /// Notes what an answer would say; whether the client has to be told.
  bool update(const PartitionRead& read);
  /// The client is told of an error: once it is gone the client hears of that.
  void note_error() { high_watermark = -1; }
};

/// The epoch after `epoch`: 0 is never reached again.
[[nodiscard]] int32_t next_session_epoch(int32_t epoch);

class FetchSession {
 public:
  using Partitions = std::list<CachedPartition>;

  FetchSession(int32_t session_id, bool by_topic_id, int64_t created_ms, Partitions partitions);

  const int32_t id;
  const bool uses_topic_ids;
  const int64_t creation_ms;  // monotonic

  Mutex mutex;
  int32_t epoch GUARDED_BY(mutex);

  /// In the order in which they are read next; what had data goes to the end (see rotate()).
  Partitions& partitions() REQUIRES(mutex) { return partitions_; }
  void put(PartitionKey key, const FetchParams& params) REQUIRES(mutex);
  void erase(const PartitionKey& key) REQUIRES(mutex);
  void rotate(Partitions::iterator partition) REQUIRES(mutex) {
    partitions_.splice(partitions_.end(), partitions_, partition);
  }
  [[nodiscard]] size_t memory_bytes() REQUIRES(mutex) { return memory_bytes_; }

 private:
  struct ByKey {
    using is_transparent = void;
    static const PartitionKey& key(const PartitionKey& key) { return key; }
    static const PartitionKey& key(const Partitions::iterator& it) { return it->key; }
  };
  struct HashByKey : ByKey {
    size_t operator()(const auto& value) const { return PartitionKeyHash{}(key(value)); }
  };
  struct EqualByKey : ByKey {
    bool operator()(const auto& a, const auto& b) const { return key(a) == key(b); }
  };

  Partitions partitions_ GUARDED_BY(mutex);
  std::unordered_set<Partitions::iterator, HashByKey, EqualByKey> index_ GUARDED_BY(mutex);
  size_t memory_bytes_ GUARDED_BY(mutex) = 0;  // about
};

using FetchSessionPtr = std::shared_ptr<FetchSession>;

class FetchSessionCache {
 public:
  /// How long a session is safe from eviction by newer ones, and unused before anybody may take
  /// its slot.
  static constexpr int64_t kMinEvictionMs = 120'000;
  /// What all sessions together may hold: their number is bounded by
  /// max.incremental.fetch.session.cache.slots, but not the partitions that a client may name in
  /// one. A session that does not fit is not made, or ends; its client fetches without one.
  static constexpr size_t kMaxSessionBytes = 256 << 20;

  FetchSessionCache(size_t max_sessions, Clock& clock);

  /// Null when not there.
  FetchSessionPtr find(int32_t id) EXCLUDES(mutex_);
  void remove(int32_t id) EXCLUDES(mutex_);
  /// The id of a new session; kNoSessionId when every slot is taken by a more valuable one, or
  /// there is no room for it.
  int32_t create(bool uses_topic_ids, FetchSession::Partitions partitions) EXCLUDES(mutex_);
  /// The session was used and now holds that many partitions and bytes.
  void touch(const FetchSession& session, size_t partition_count, size_t memory_bytes)
      EXCLUDES(mutex_);

  void set_limit(size_t max_sessions) EXCLUDES(mutex_);
  [[nodiscard]] size_t size() EXCLUDES(mutex_);
  [[nodiscard]] size_t partition_count() EXCLUDES(mutex_);
  [[nodiscard]] size_t memory_bytes() EXCLUDES(mutex_);

 private:
  /// Least valuable first: the fewest partitions, then the id.
  using Value = std::pair<size_t, int32_t>;
  struct Slot {
    FetchSessionPtr session;
    int64_t last_used_ms = 0;
    size_t partition_count = 0;
    size_t memory_bytes = 0;
  };

  bool evict_for(size_t partition_count, int64_t now_ms) REQUIRES(mutex_);
  void place(Slot& slot, int64_t now_ms) REQUIRES(mutex_);
  void displace(const Slot& slot) REQUIRES(mutex_);
  void drop(int32_t id) REQUIRES(mutex_);

  Clock& clock_;
  Mutex mutex_;
  size_t max_sessions_ GUARDED_BY(mutex_);
  size_t partition_count_ GUARDED_BY(mutex_) = 0;
  size_t memory_bytes_ GUARDED_BY(mutex_) = 0;
  std::unordered_map<int32_t, Slot> slots_ GUARDED_BY(mutex_);
  std::set<std::pair<int64_t, int32_t>> last_used_ GUARDED_BY(mutex_);
  std::set<Value> evictable_ GUARDED_BY(mutex_);
  std::mt19937 random_ GUARDED_BY(mutex_);
};

}  // namespace barnabas::dataplane
