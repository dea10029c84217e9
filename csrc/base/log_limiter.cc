#include "base/log_limiter.h"

#include <utility>

namespace barnabas {
namespace {

constexpr int64_t kWindowNs = 1'000'000'000;

}  // namespace

void LogLimiter::log(LogLevel level, std::string message, int64_t now_ns) {
  uint64_t suppressed = 0;
  {
    MutexLock lock(mutex_);
    if (window_start_ns_ == INT64_MIN || now_ns - window_start_ns_ >= kWindowNs) {
      window_start_ns_ = now_ns;
      lines_ = 0;
    }
    if (lines_ >= kLinesPerSecond) {
      ++suppressed_;
      return;
    }
    ++lines_;
    suppressed = std::exchange(suppressed_, 0);
  }
  if (suppressed > 0) {
    message += " (and " + std::to_string(suppressed) + " more lines like this before)";
  }
  barnabas::log(level, component_, message);
}

}  // namespace barnabas
