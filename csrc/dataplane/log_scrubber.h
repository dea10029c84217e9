// Reads the closed segments of every log back, every log.scrub.interval.ms and at most
// log.scrub.max.bytes.per.second, and reports what does not check: sendfile does not look at bytes,
// so that nobody else would notice before a consumer does. Changes nothing. Each log directory has
// a thread of its own; the rate is that of all together.
//
// Ownership: borrows table and clock; they outlive stop().
//
// Thread-safety: safe from every thread.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/clock.h"
#include "base/thread_annotations.h"
#include "dataplane/io_rate.h"
#include "dataplane/partition_table.h"
#include "dataplane/settings.h"
#include "dataplane/worker_threads.h"

namespace barnabas::dataplane {

class LogScrubber {
 public:
  LogScrubber(const PartitionTable& table, size_t directory_count, Clock& clock,
              const ScrubberConfig& config);
  ~LogScrubber();  // stop()s
  LogScrubber(const LogScrubber&) = delete;
  LogScrubber& operator=(const LogScrubber&) = delete;

  void start();
  /// Gives up what is under way.
  void stop() EXCLUDES(mutex_);
  /// A new interval counts from the last round's begin on.
  void set_config(const ScrubberConfig& config) EXCLUDES(mutex_);

 private:
  void run(size_t directory) EXCLUDES(mutex_);
  /// False when stopped.
  bool wait_for_round(int64_t last_begin_ms) EXCLUDES(mutex_);
  void scrub_all(size_t directory);

  const PartitionTable& table_;
  const size_t directory_count_;
  Clock& clock_;
  IoRate rate_;
  WorkerThreads threads_;

  Mutex mutex_;
  ConditionVariable changed_;
  ScrubberConfig config_ GUARDED_BY(mutex_);
  bool stopping_ GUARDED_BY(mutex_) = false;
};

}  // namespace barnabas::dataplane
