// A timer that a thread can wait for with a Poller and any other may put off: timerfd(2).
//
// Thread-safety: ring_at() and silence() from any thread; the last ring_at() counts.
#pragma once

#include <cstdint>

#include "base/fd.h"
#include "base/result.h"

namespace barnabas::net {

class Alarm {
 public:
  /// One that does not ring.
  Alarm() = default;
  static Result<Alarm> create();
  /// The clock that it rings by, read in a quarter of the time and a tick late at most.
  static int64_t coarse_now_ns();

  /// Readable from then on (ns of CLOCK_MONOTONIC; the past is at once), and not before.
  void ring_at(int64_t ns) const;
  /// Not readable any more, until it rings again.
  void silence() const;
  [[nodiscard]] int fd() const { return timer_.get(); }

 private:
  UniqueFd timer_;
};

}  // namespace barnabas::net
