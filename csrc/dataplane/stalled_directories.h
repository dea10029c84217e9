// Which log directories do not get on: threads wait in them, so that no other is sent after them.
//
// Thread-safety: every method may be called from any thread, once set_count() has returned.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <set>
#include <vector>

#include "base/thread_annotations.h"

namespace barnabas::dataplane {

class StalledDirectories {
 public:
  /// How long a wait is none yet, as the net::Watchdog sees it.
  static constexpr int64_t kPatienceNs = 20'000'000;

  // REQUIRES: no other thread knows of it yet.
  void set_count(size_t count) EXCLUDES(mutex_);

  /// Whether one may be: quick.
  [[nodiscard]] bool any() const { return waits_.load(std::memory_order_relaxed) != 0; }
  /// Of a number that no directory has: false.
  [[nodiscard]] bool contains(size_t directory, int64_t now_ns) EXCLUDES(mutex_);

  /// A thread begins to wait for the directory, which counts as stalled from `since_ns` (monotonic)
  /// on.
  void begin_wait(size_t directory, int64_t since_ns) EXCLUDES(mutex_);
  /// Whether somebody was told that the directory stalls, and it does no more: what was put off is
  /// to be tried again. With what begin_wait() was given.
  [[nodiscard]] bool end_wait(size_t directory, int64_t since_ns, int64_t now_ns) EXCLUDES(mutex_);

 private:
  struct Directory {
    std::multiset<int64_t> waits;  // since when each counts
    bool told = false;             // that it stalls
    [[nodiscard]] bool stalls(int64_t now_ns) const {
      return !waits.empty() && *waits.begin() <= now_ns;
    }
  };

  std::atomic<int> waits_{0};  // of all
  Mutex mutex_;
  std::vector<Directory> directories_ GUARDED_BY(mutex_);
};

}  // namespace barnabas::dataplane
