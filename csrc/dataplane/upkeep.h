// What has to be done from time to time, on a thread for each log directory: flush.ms, checkpoints
// (log.flush.offset.checkpoint.interval.ms), retention and rolling
// (log.retention.check.interval.ms), removal of deleted directories, forgetting what was recent.
//
// Compaction and scrubbing, which take long, have threads of their own, which start and stop with
// these.
//
// A log that rolled since the last round is flushed, so that what a crash makes the loader read
// back is about one segment and not all since the start.
//
// Ownership: borrows table, directories, flusher and clock; they outlive stop().
//
// Thread-safety: safe from every thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "base/thread_annotations.h"
#include "dataplane/flusher.h"
#include "dataplane/log_cleaner.h"
#include "dataplane/log_directories.h"
#include "dataplane/log_scrubber.h"
#include "dataplane/partition_table.h"
#include "dataplane/settings.h"
#include "dataplane/worker_threads.h"

namespace barnabas::dataplane {

class Upkeep {
 public:
  Upkeep(const PartitionTable& table, LogDirectories& directories, Flusher& flusher, Clock& clock,
         const EngineConfig& config);
  ~Upkeep();  // stop()s
  Upkeep(const Upkeep&) = delete;
  Upkeep& operator=(const Upkeep&) = delete;

  void start();
  void stop() EXCLUDES(mutex_);
  /// Does at once what else the next rounds would do, and compacts what is due. Waits for it.
  void run_due() EXCLUDES(mutex_);
  /// New intervals count from now on.
  void set_config(const EngineConfig& config) EXCLUDES(mutex_);

 private:
  struct Seen {
    int64_t flushed_offset = 0;   // the recovery point when last looked at
    int64_t dirty_since_ms = -1;  // monotonic; -1: nothing unflushed
    size_t segment_count = 0;
  };

  using Partitions = std::vector<std::shared_ptr<Partition>>;
  using SeenLogs = std::unordered_map<const Partition*, Seen>;

  void run(size_t directory) EXCLUDES(mutex_);
  /// Waits for the next round; the configuration for it, nothing at the end.
  std::optional<EngineConfig> wait_for_round(size_t directory, uint64_t& asked) EXCLUDES(mutex_);
  void end_round(size_t directory, uint64_t asked) EXCLUDES(mutex_);
  void flush_overdue(size_t directory, SeenLogs& seen);
  /// Those of the directory that are served.
  [[nodiscard]] Partitions partitions_in(size_t directory) const;

  const PartitionTable& table_;
  LogDirectories& directories_;
  Flusher& flusher_;
  Clock& clock_;
  LogCleaner cleaner_;
  LogScrubber scrubber_;
  WorkerThreads threads_;

  Mutex mutex_;
  ConditionVariable changed_;
  EngineConfig config_ GUARDED_BY(mutex_);
  uint64_t rounds_asked_ GUARDED_BY(mutex_) = 0;           // by run_due
  std::vector<uint64_t> rounds_given_ GUARDED_BY(mutex_);  // by directory
  bool stopping_ GUARDED_BY(mutex_) = false;
};

}  // namespace barnabas::dataplane
