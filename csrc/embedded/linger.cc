#include "embedded/linger.h"

#include <chrono>
#include <utility>

#include "base/clock.h"

namespace barnabas::embedded {

void Linger::watch(TopicLanes& topic, int32_t partition, std::shared_ptr<Outcome> batch) {
  MutexLock lock(mutex_);
  start();
  // A sleeper with earlier batches to wait for wakes by itself.
  const bool wake = waiting_ && by_lane_.empty();
  put({system_clock().monotonic_ns() + linger_ns_, &topic, partition, std::move(batch)});
  if (wake) changed_.notify_one();
}

void Linger::hurry(TopicLanes& topic, int32_t partition, std::shared_ptr<Outcome> batch) {
  MutexLock lock(mutex_);
  start();
  put({0, &topic, partition, std::move(batch)});
  if (waiting_) changed_.notify_one();
}

void Linger::put(Entry entry) {
  Lane& lane = (*entry.topic)[entry.partition];
  if (lane.open_outcome() != entry.batch) return;
  const auto there = by_lane_.find(&lane);
  if (there != by_lane_.end()) {
    const Entry& old = *there->second;
    if (old.batch == entry.batch && old.due_ns <= entry.due_ns) return;
    list_of(old).erase(there->second);
  }
  Entries& list = list_of(entry);
  by_lane_[&lane] = list.insert(list.end(), std::move(entry));
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
        if (by_lane_.empty()) {
          changed_.wait(mutex_);
        } else {
          const int64_t left = next().front().due_ns - system_clock().monotonic_ns();
          if (left <= 0) break;
          changed_.wait_for(mutex_, std::chrono::nanoseconds(left));
        }
      }
      waiting_ = false;
      if (stopping_) return;
      entry = std::move(next().front());
      next().pop_front();
      by_lane_.erase(&(*entry.topic)[entry.partition]);
    }
    entry.topic->drain(entry.partition, entry.batch.get());
  }
}

}  // namespace barnabas::embedded
