// Keeps a hostile or broken client from filling the log: lets a few lines a second through and
// counts the rest.
//
// Thread-safety: belongs to one thread.
#pragma once

#include <cstdint>
#include <string>

#include "base/logger.h"

namespace barnabas::net {

class LogLimiter {
 public:
  static constexpr int kLinesPerSecond = 10;

  /// Logs `message`, or counts it as suppressed; the next line that gets through tells how many.
  void log(LogLevel level, std::string message, int64_t now_ns);

 private:
  int64_t window_start_ns_ = INT64_MIN;
  int lines_ = 0;  // in the window
  uint64_t suppressed_ = 0;
};

}  // namespace barnabas::net
