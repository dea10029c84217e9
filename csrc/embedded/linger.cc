#include "embedded/linger.h"

#include <chrono>
#include <utility>

#include "base/clock.h"

namespace barnabas::embedded {

void Linger::watch(TopicLanes& topic, int32_t partition, std::shared_ptr<Outcome> batch) {
  MutexLock lock(mutex_);
  start();
  // A sleeper with earlier batches to wait for wakes by itself.
  const bool wake = waiting_ && entries_.empty();
  entries_.push_back(
      {system_clock().monotonic_ns() + linger_ns_, &topic, partition, std::move(batch)});
  if (wake) changed_.notify_one();
}

void Linger::hurry(TopicLanes& topic, int32_t partition, std::shared_ptr<Outcome> batch) {
  MutexLock lock(mutex_);
  start();
  entries_.push_front({0, &topic, partition, std::move(batch)});
  if (waiting_) changed_.notify_one();
}

void Linger::start() {
  if (!thread_.joinable() && !stopping_) thread_ = std::thread([this] { run(); });
}

void Linger::stop() {
  std::thread thread;
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    thread = std::move(thread_);
  }
  changed_.notify_one();
  if (thread.joinable()) thread.join();
}

void Linger::run() {
  while (true) {
    Entry entry;
    {
      MutexLock lock(mutex_);
      while (!stopping_) {
        waiting_ = true;
        if (entries_.empty()) {
          changed_.wait(mutex_);
        } else {
          const int64_t left = entries_.front().due_ns - system_clock().monotonic_ns();
          if (left <= 0) break;
          changed_.wait_for(mutex_, std::chrono::nanoseconds(left));
        }
      }
      waiting_ = false;
      if (stopping_) return;
      entry = std::move(entries_.front());
      entries_.pop_front();
    }
    entry.topic->drain(entry.partition, entry.batch.get());
  }
}

}  // namespace barnabas::embedded
