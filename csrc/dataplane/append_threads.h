// Appends of the coordinators: a thread for each log directory, so that a disk that stalls holds up
// neither the broker loop nor what is appended in other directories.
//
// Ownership: owns its threads; keeps a partition alive while appends of it are queued. How many are
// is limited by the requests that wait for them.
//
// Thread-safety: safe from every thread.
#pragma once

#include <cstddef>
#include <memory>
#include <unordered_map>

#include "base/thread_annotations.h"
#include "dataplane/directory_pools.h"

namespace barnabas::dataplane {

class Partition;

class AppendThreads {
 public:
  AppendThreads();
  ~AppendThreads() { stop(); }

  /// Runs `append` behind what was submitted for the same partition before. False after stop().
  [[nodiscard]] bool submit(const std::shared_ptr<Partition>& partition, DiskPool::Task append)
      EXCLUDES(mutex_);
  /// Finishes what is queued, then takes no more.
  void stop() { threads_.stop(); }

 private:
  /// Of a partition with appends that are queued: in the order of its thread, also when it moves to
  /// another directory meanwhile.
  struct Lane {
    DiskPool* thread = nullptr;
    size_t queued = 0;
  };

  void finish(const Partition* partition) EXCLUDES(mutex_);

  DirectoryPools threads_;
  Mutex mutex_;
  std::unordered_map<const Partition*, Lane> lanes_ GUARDED_BY(mutex_);
};

}  // namespace barnabas::dataplane
