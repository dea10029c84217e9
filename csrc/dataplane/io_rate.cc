#include "dataplane/io_rate.h"

#include <algorithm>
#include <chrono>

namespace barnabas::dataplane {
namespace {

constexpr double kNsPerSecond = 1e9;
constexpr int64_t kLongestPauseMs = 500;  // to notice a change of the limit

}  // namespace

IoRate::IoRate(double bytes_per_second, Clock& clock)
    : clock_(clock), bytes_per_second_(std::max(bytes_per_second, 1.0)) {}

void IoRate::set_limit(double bytes_per_second) {
  MutexLock lock(mutex_);
  bytes_per_second_ = std::max(bytes_per_second, 1.0);
  paid_until_ns_ = 0;
  changed_.notify_all();
}

bool IoRate::spend(uint64_t bytes) {
  MutexLock lock(mutex_);
  const auto now_ns = static_cast<double>(clock_.monotonic_ns());
  paid_until_ns_ = std::max(paid_until_ns_, now_ns) +
                   static_cast<double>(bytes) / bytes_per_second_ * kNsPerSecond;
  const double until_ns = paid_until_ns_;
  while (!stopped_) {
    const double left_ms =
        (std::min(until_ns, paid_until_ns_) - static_cast<double>(clock_.monotonic_ns())) / 1e6;
    if (left_ms < 1) return true;
    changed_.wait_for(mutex_, std::chrono::milliseconds(std::min(
                                  static_cast<int64_t>(std::min(left_ms, 1e9)), kLongestPauseMs)));
  }
  return false;
}

void IoRate::stop() {
  MutexLock lock(mutex_);
  stopped_ = true;
  changed_.notify_all();
}

}  // namespace barnabas::dataplane
