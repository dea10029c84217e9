// The thread that sends batches which did not fill up in time.
//
// Ownership: borrows lanes, which outlive it. Thread-safety: every method may be called from any
// other thread.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <thread>

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
    int64_t due_ns = 0;  // of the monotonic clock
    TopicLanes* topic = nullptr;
    int32_t partition = 0;
    std::shared_ptr<Outcome> batch;
  };
  void run() EXCLUDES(mutex_);
  /// The thread starts with the first batch: many producers never need it.
  void start() REQUIRES(mutex_);

  const int64_t linger_ns_;
  Mutex mutex_;
  ConditionVariable changed_;
  std::deque<Entry> entries_ GUARDED_BY(mutex_);  // by due time: all linger alike
  bool waiting_ GUARDED_BY(mutex_) = false;       // the thread sleeps
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::thread thread_ GUARDED_BY(mutex_);
};

}  // namespace barnabas::embedded
