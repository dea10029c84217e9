// Appends of the coordinators: a thread for each log directory, so that a disk that stalls holds up
// neither the broker loop nor what is appended in other directories.
//
// Ownership: owns its threads; keeps a partition alive while appends of it are queued. How many are
// is limited by the requests that wait for them.
//
// Thread-safety: safe from every thread.
#pragma once

#include <cstddef>
#include <cstdint>
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

  enum class Place : uint8_t { kNext, kBehind, kNone };
  /// Runs `append` behind what was submitted for the same partition before, then `ended`, when the
  /// thread is free. kNext: at once, kBehind: the thread has other appends before, kNone: not at
  /// all, after stop().
  [[nodiscard]] Place submit(const std::shared_ptr<Partition>& partition, DiskPool::Task append,
                             DiskPool::Task ended) EXCLUDES(mutex_);
  /// Finishes what is queued, then takes no more.
  void stop() { threads_.stop(); }

 private:
  /// Of a partition with appends that are queued: in the order of its thread, also when it moves to
  /// another directory meanwhile.
  struct Lane {
    DiskPool* thread = nullptr;
    size_t queued = 0;
  };

  void finish(const Partition* partition, const DiskPool* thread) EXCLUDES(mutex_);

  DirectoryPools threads_;
  Mutex mutex_;
  std::unordered_map<const Partition*, Lane> lanes_ GUARDED_BY(mutex_);
  std::unordered_map<const DiskPool*, size_t> queued_ GUARDED_BY(mutex_);  // of all lanes
};

}  // namespace barnabas::dataplane
