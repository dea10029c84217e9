// Holds work on files to a number of bytes a second, for all of its threads together.
//
// Thread-safety: safe from every thread.
#pragma once

#include <cstdint>

#include "base/clock.h"
#include "base/thread_annotations.h"

namespace barnabas::dataplane {

class IoRate {
 public:
  /// `bytes_per_second` may be so large that it is no limit.
  IoRate(double bytes_per_second, Clock& clock);

  void set_limit(double bytes_per_second) EXCLUDES(mutex_);
  /// Waits until the bytes, which were read or written, are within the rate. False at once, from
  /// any wait, when stopped.
  [[nodiscard]] bool spend(uint64_t bytes) EXCLUDES(mutex_);
  void stop() EXCLUDES(mutex_);

 private:
  Clock& clock_;
  Mutex mutex_;
  ConditionVariable changed_;
  double bytes_per_second_ GUARDED_BY(mutex_);
  double paid_until_ns_ GUARDED_BY(mutex_) = 0;  // monotonic: what was spent so far lasts to here
  bool stopped_ GUARDED_BY(mutex_) = false;
};

}  // namespace barnabas::dataplane
