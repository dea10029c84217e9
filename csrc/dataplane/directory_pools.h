// Threads that may wait for a disk: a pool for each log directory, so that one that stalls holds up
// nothing in the others. A directory's pool is made with its first task, its threads as DiskPool
// makes them: a directory alone has what one pool has.
//
// Ownership: owns the pools. A task must not outlive what it refers to: stop() first.
//
// Thread-safety: safe from every thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/thread_annotations.h"
#include "dataplane/disk_pool.h"

namespace barnabas::dataplane {

/// Who finds a directory's queue full asks again after so long.
inline constexpr int64_t kQueueRetryNs = 5'000'000;

class DirectoryPools {
 public:
  /// `name` names the threads; the limits are of each directory.
  DirectoryPools(std::string name, int max_threads, size_t max_queued);
  ~DirectoryPools() { stop(); }
  DirectoryPools(const DirectoryPools&) = delete;
  DirectoryPools& operator=(const DirectoryPools&) = delete;

  /// False, and the task is dropped, when the directory's queue is full or the pools have stopped.
  [[nodiscard]] bool submit(size_t directory, DiskPool::Task task) EXCLUDES(mutex_) {
    return of(directory).submit(std::move(task));
  }
  /// The directory's pool, which lives as long as these.
  [[nodiscard]] DiskPool& of(size_t directory) EXCLUDES(mutex_);
  /// Finishes what is queued, then takes no more.
  void stop() EXCLUDES(mutex_);
  [[nodiscard]] size_t queued() const EXCLUDES(mutex_);
  /// Tasks taken so far.
  [[nodiscard]] uint64_t submitted() const EXCLUDES(mutex_);

 private:
  [[nodiscard]] std::vector<DiskPool*> all() const EXCLUDES(mutex_);

  const std::string name_;
  const int max_threads_;
  const size_t max_queued_;
  mutable Mutex mutex_;
  bool stopped_ GUARDED_BY(mutex_) = false;
  std::map<size_t, std::unique_ptr<DiskPool>> pools_ GUARDED_BY(mutex_);  // by directory
};

}  // namespace barnabas::dataplane
