// The thread that sends batches which did not fill up in time. A partition has one open batch at
// most, and so one entry here: what was sent by others makes room for what came after it.
//
// Ownership: borrows lanes, which outlive it. Thread-safety: every method may be called from any
// other thread.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <thread>
#include <unordered_map>

#include "base/thread_annotations.h"
#include "embedded/topic_lanes.h"

namespace barnabas::embedded {

class Linger {
 public:
  explicit Linger(int64_t linger_ns) : linger_ns_(linger_ns) {}
  ~Linger() { stop(); }
  Linger(const Linger&) = delete;
  Linger& operator=(const Linger&) = delete;

  /// A batch has begun: it is sent after the linger time, if it is still open then.
  void watch(TopicLanes& topic, int32_t partition, std::shared_ptr<Outcome> batch) EXCLUDES(mutex_);
  /// The batch is waited for: it is sent now, by this thread.
  void hurry(TopicLanes& topic, int32_t partition, std::shared_ptr<Outcome> batch) EXCLUDES(mutex_);
  /// Sends no more. May be repeated.
  void stop() EXCLUDES(mutex_);

 private:
  struct Entry {
    int64_t due_ns = 0;  // of the monotonic clock; 0: now
    TopicLanes* topic = nullptr;
    int32_t partition = 0;
    std::shared_ptr<Outcome> batch;
  };
  using Entries = std::list<Entry>;

  void run() EXCLUDES(mutex_);
  /// In the place of the lane's entry, unless that is as good, or the batch is not open any more:
  /// then the entry may be of the one after it.
  void put(Entry entry) REQUIRES(mutex_);
  [[nodiscard]] Entries& list_of(const Entry& entry) REQUIRES(mutex_) {
    return entry.due_ns == 0 ? hurried_ : lingering_;
  }
  /// Whose turn it is. REQUIRES: there is one
  [[nodiscard]] Entries& next() REQUIRES(mutex_) {
    return hurried_.empty() ? lingering_ : hurried_;
  }
  /// The thread starts with the first batch: many producers never need it.
  void start() REQUIRES(mutex_);

  const int64_t linger_ns_;
  Mutex mutex_;
  ConditionVariable changed_;
  Entries hurried_ GUARDED_BY(mutex_);
  Entries lingering_ GUARDED_BY(mutex_);  // by due time: all linger alike
  std::unordered_map<const Lane*, Entries::iterator> by_lane_ GUARDED_BY(mutex_);
  bool waiting_ GUARDED_BY(mutex_) = false;  // the thread sleeps
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::thread thread_ GUARDED_BY(mutex_);
};

}  // namespace barnabas::embedded
