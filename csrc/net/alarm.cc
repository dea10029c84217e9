#include "net/alarm.h"

#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>

namespace barnabas::net {
namespace {

constexpr int64_t kNsPerSecond = 1'000'000'000;

}  // namespace

Result<Alarm> Alarm::create() {
  Alarm alarm;
  alarm.timer_ = UniqueFd(::timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
  if (!alarm.timer_.valid()) return system_error("timerfd_create", ErrorCode::kNetworkException);
  return alarm;
}

int64_t Alarm::coarse_now_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return now.tv_sec * kNsPerSecond + now.tv_nsec;
}

void Alarm::ring_at(int64_t ns) const {
  const int64_t at_ns = std::max<int64_t>(ns, 1);  // 0 would be never
  const itimerspec when{
      .it_interval = {},
      .it_value = {.tv_sec = at_ns / kNsPerSecond, .tv_nsec = at_ns % kNsPerSecond}};
  ::timerfd_settime(timer_.get(), TFD_TIMER_ABSTIME, &when, nullptr);
}

void Alarm::silence() const {
  uint64_t rings = 0;
  [[maybe_unused]] const ssize_t n = ::read(timer_.get(), &rings, sizeof rings);
}

}  // namespace barnabas::net
