#include "base/clock.h"

#include <ctime>

namespace barnabas {
namespace {

int64_t read_ns(clockid_t id) {
  timespec now{};
  clock_gettime(id, &now);
  return static_cast<int64_t>(now.tv_sec) * 1'000'000'000 + now.tv_nsec;
}

class SystemClock final : public Clock {
 public:
  [[nodiscard]] int64_t wall_ms() const override { return read_ns(CLOCK_REALTIME) / 1'000'000; }
  [[nodiscard]] int64_t monotonic_ns() const override { return read_ns(CLOCK_MONOTONIC); }
  [[nodiscard]] int64_t steady_ms() const override {
    return began_ms_ + read_ns(CLOCK_MONOTONIC) / 1'000'000;
  }

 private:
  const int64_t began_ms_ = (read_ns(CLOCK_REALTIME) - read_ns(CLOCK_MONOTONIC)) / 1'000'000;
};

}  // namespace

Clock& system_clock() {
  static SystemClock clock;
  return clock;
}

}  // namespace barnabas
