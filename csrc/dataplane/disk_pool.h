// A bounded pool of threads for what may wait for a disk: cold reads, fdatasync, clean-up.
//
// Threads are started when work comes and all are busy, up to the limit, and stay until stop().
// Tasks start in the order they came.
//
// Ownership: owns its threads and the queued tasks. A task must not outlive what it refers to:
// stop() the pool first.
//
// Thread-safety: safe from every thread.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "base/thread_annotations.h"

namespace barnabas::dataplane {

class DiskPool {
 public:
  using Task = std::function<void()>;

  /// `name` names the threads (at most 15 characters, as Linux has it).
  DiskPool(std::string name, int max_threads, size_t max_queued);
  ~DiskPool();  // stop()s
  DiskPool(const DiskPool&) = delete;
  DiskPool& operator=(const DiskPool&) = delete;

  /// False, and the task is dropped, when the queue is full or the pool has stopped.
  [[nodiscard]] bool submit(Task task) EXCLUDES(mutex_);
  /// Finishes what is queued, then joins.
  void stop() EXCLUDES(mutex_);
  [[nodiscard]] size_t queued() const EXCLUDES(mutex_);
  /// Tasks taken so far.
  [[nodiscard]] uint64_t submitted() const EXCLUDES(mutex_);

 private:
  void run() EXCLUDES(mutex_);

  const std::string name_;
  const size_t max_threads_;
  const size_t max_queued_;
  mutable Mutex mutex_;
  ConditionVariable work_;
  std::deque<Task> queue_ GUARDED_BY(mutex_);
  std::vector<std::thread> threads_ GUARDED_BY(mutex_);
  size_t idle_ GUARDED_BY(mutex_) = 0;
  uint64_t submitted_ GUARDED_BY(mutex_) = 0;
  bool stopping_ GUARDED_BY(mutex_) = false;
};

/// Runs `work(i)` for every i below `count` on at most `threads` threads; returns when all are
/// done.
void parallel_for(int threads, size_t count, const std::function<void(size_t)>& work);

}  // namespace barnabas::dataplane
