// A clock for tests: its calendar stands still but for advance(); its timeouts run, too, in real
// time, so that clients whose own timers are the system's find a broker that answers them.
//
// Thread-safety: every method may be called from any thread.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/clock.h"

namespace barnabas {

class VirtualClock final : public Clock {
 public:
  explicit VirtualClock(int64_t wall_ns) : steady_ns_(wall_ns) {}

  [[nodiscard]] int64_t wall_ms() const override {
    return (steady_ns_.load() + set_by_ns_.load()) / kNsPerMs;
  }
  [[nodiscard]] int64_t monotonic_ns() const override {
    return system_clock().monotonic_ns() + ahead_ns_.load();
  }
  [[nodiscard]] int64_t steady_ms() const override { return steady_ns_.load() / kNsPerMs; }
  [[nodiscard]] int64_t set_by_ms() const override { return set_by_ns_.load() / kNsPerMs; }
  /// How far the timeouts are ahead of the system's monotonic clock.
  [[nodiscard]] int64_t ahead_ns() const { return ahead_ns_.load(); }

  /// REQUIRES: by_ns >= 0.
  void advance(int64_t by_ns) {
    steady_ns_.fetch_add(by_ns);
    ahead_ns_.fetch_add(by_ns);
  }

  /// The calendar alone, forth or back; timeouts do not notice.
  void step(int64_t by_ns) { set_by_ns_.fetch_add(by_ns); }

 private:
  std::atomic<int64_t> steady_ns_;
  std::atomic<int64_t> set_by_ns_{0};
  std::atomic<int64_t> ahead_ns_{0};
};

}  // namespace barnabas
