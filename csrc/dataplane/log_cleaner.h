// Compacts the logs whose cleanup.policy has `compact`, on threads of its own
// (log.cleaner.threads, but no fewer than there are log directories): each takes the log with the
// largest dirty share that is due, and looks again after log.cleaner.backoff.ms when there is none.
// In one directory there are never so many that not one is left for each of the others: a disk that
// stalls holds up its own logs.
//
// A log in which something corrupt was found, or whose keys do not fit into the buffer, is left
// alone until it starts later, and reported once. One that failed for a reason that may pass, as a
// full disk, has its next turn when none of the others is due.
//
// Ownership: borrows table, directories and clock; they outlive stop().
//
// Thread-safety: safe from every thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "base/clock.h"
#include "base/thread_annotations.h"
#include "dataplane/io_rate.h"
#include "dataplane/log_directories.h"
#include "dataplane/partition_table.h"
#include "dataplane/settings.h"
#include "dataplane/worker_threads.h"

namespace barnabas::dataplane {

class LogCleaner {
 public:
  LogCleaner(const PartitionTable& table, LogDirectories& directories, Clock& clock,
             const EngineConfig& config);
  ~LogCleaner();  // stop()s
  LogCleaner(const LogCleaner&) = delete;
  LogCleaner& operator=(const LogCleaner&) = delete;

  void start() EXCLUDES(mutex_);
  /// Gives up what is under way.
  void stop() EXCLUDES(mutex_);
  /// Cleans what is due now and waits until that is done, or one of it could not be.
  void run_due() EXCLUDES(mutex_);
  /// Of log.cleaner.threads only the start's counts.
  void set_config(const CleanerConfig& config) EXCLUDES(mutex_);

 private:
  using PartitionPtr = std::shared_ptr<Partition>;
  using WeakPartition = std::weak_ptr<Partition>;

  void run() EXCLUDES(mutex_);
  struct Look {
    PartitionPtr filthiest;  // that is due and that no other thread has; null when there is none
    bool held_back = false;  // there is none but in directories that have their threads
  };
  Look take_filthiest() EXCLUDES(mutex_);
  /// Whether the log is cleaner now.
  bool clean(const PartitionPtr& partition) EXCLUDES(mutex_);
  void give_up(const PartitionPtr& partition, const std::string& why) EXCLUDES(mutex_);
  void write_checkpoints(const Partition& partition);

  const PartitionTable& table_;
  LogDirectories& directories_;
  const size_t threads_wanted_;
  const size_t most_in_one_directory_;
  IoRate rate_;
  WorkerThreads threads_;

  Mutex mutex_;
  ConditionVariable changed_;
  CleanerConfig config_ GUARDED_BY(mutex_);
  std::set<PartitionPtr> in_progress_ GUARDED_BY(mutex_);
  // By the log start offset: what stood in the way may be gone when the log starts later.
  std::map<WeakPartition, int64_t, std::owner_less<>> uncleanable_ GUARDED_BY(mutex_);
  // Until no other is due.
  std::set<WeakPartition, std::owner_less<>> passed_over_ GUARDED_BY(mutex_);
  uint64_t looks_asked_ GUARDED_BY(mutex_) = 0;  // by run_due
  uint64_t looks_given_ GUARDED_BY(mutex_) = 0;
  bool stopping_ GUARDED_BY(mutex_) = false;
};

}  // namespace barnabas::dataplane
