// Log lines on their way to a sink that may wait (for the GIL, for a pipe): queued here, delivered
// by a thread of their own, so that no thread of the data plane waits for a line.
//
// Beyond kMaxQueued lines the newest are dropped and counted; one line says how many, where they
// would have been.
//
// Ownership: owns the sink; its thread, which starts with the first line, shares it until stop().
//
// Thread-safety: safe from every thread. In a child of fork(2), which has no such thread, lines are
// delivered by whoever logs them.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <thread>

#include "base/logger.h"
#include "base/thread_annotations.h"

namespace barnabas {

class LogThread : public std::enable_shared_from_this<LogThread> {
 public:
  static constexpr size_t kMaxQueued = 4096;
  /// How long flush() and stop() wait for a sink that does not take its lines.
  static constexpr int64_t kMaxFlushMs = 5'000;

  static std::shared_ptr<LogThread> create(LogSink sink);
  LogThread(const LogThread&) = delete;
  LogThread& operator=(const LogThread&) = delete;

  void log(LogLevel level, std::string_view component, std::string_view message) EXCLUDES(mutex_);
  /// Waits until the lines so far are delivered. Not from the sink.
  void flush() EXCLUDES(mutex_);
  /// Delivers what is queued and ends the thread. REQUIRES: the process has another sink by now,
  /// which gets what still comes.
  void stop() EXCLUDES(mutex_);

 private:
  explicit LogThread(LogSink sink);

  struct Line {
    LogLevel level = LogLevel::kInfo;
    std::string component;
    std::string message;
  };

  void run() EXCLUDES(mutex_);
  /// False when they were not within kMaxFlushMs.
  bool wait_until_delivered() REQUIRES(mutex_);
  [[nodiscard]] bool forked() const;

  const pid_t owner_;
  const LogSink sink_;
  Mutex mutex_;
  ConditionVariable work_;
  ConditionVariable progress_;
  std::deque<Line> queue_ GUARDED_BY(mutex_);
  uint64_t dropped_ GUARDED_BY(mutex_) = 0;  // behind what is queued
  uint64_t queued_count_ GUARDED_BY(mutex_) = 0;
  uint64_t delivered_count_ GUARDED_BY(mutex_) = 0;
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::thread thread_ GUARDED_BY(mutex_);
};

}  // namespace barnabas
