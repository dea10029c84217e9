// Keeps what happens over and over (a hostile client, a full disk) from filling the log: lets a few
// lines a second through and counts the rest.
//
// Thread-safety: safe from every thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/logger.h"
#include "base/thread_annotations.h"

namespace barnabas {

class LogLimiter {
 public:
  static constexpr int kLinesPerSecond = 10;

  /// `component`: a literal.
  explicit LogLimiter(std::string_view component) : component_(component) {}

  /// Logs `message`, or counts it as suppressed; the next line that gets through tells how many.
  void log(LogLevel level, std::string message, int64_t now_ns) EXCLUDES(mutex_);

 private:
  const std::string_view component_;
  Mutex mutex_;
  int64_t window_start_ns_ GUARDED_BY(mutex_) = INT64_MIN;
  int lines_ GUARDED_BY(mutex_) = 0;  // in the window
  uint64_t suppressed_ GUARDED_BY(mutex_) = 0;
};

}  // namespace barnabas
