// When the records of an open loop are due: evenly spaced, whatever the broker does. A latency is
// counted from here, never from when the request could be sent: a broker that stalls is charged
// with every record that was due meanwhile (no coordinated omission).
//
// Thread-safety: immutable.
#pragma once

#include <cmath>
#include <cstdint>

#include "loadgen/plan.h"

namespace barnabas::loadgen {

class Schedule {
 public:
  /// `rate` records a second; `phase` in [0, 1) shifts them all by a part of the interval, so that
  /// many connections are not due at the same instant.
  /// REQUIRES: rate > 0
  Schedule(int64_t start_ns, double rate, double phase)
      : start_ns_(start_ns),
        interval_ns_(static_cast<double>(kNsPerSecond) / rate),
        phase_(phase) {}

  /// When record `index` (0, 1, …) is due.
  [[nodiscard]] int64_t due_ns(int64_t index) const {
    return start_ns_ + static_cast<int64_t>((static_cast<double>(index) + phase_) * interval_ns_);
  }

  /// How many records are due at `now_ns`.
  [[nodiscard]] int64_t due_count(int64_t now_ns) const {
    if (now_ns < due_ns(0)) return 0;
    const double elapsed = static_cast<double>(now_ns - start_ns_) / interval_ns_ - phase_;
    auto count = static_cast<int64_t>(std::floor(elapsed)) + 1;
    // The product and the quotient round differently: due_ns decides.
    while (count > 0 && due_ns(count - 1) > now_ns) --count;
    while (due_ns(count) <= now_ns) ++count;
    return count;
  }

 private:
  int64_t start_ns_;
  double interval_ns_;
  double phase_;
};

}  // namespace barnabas::loadgen
