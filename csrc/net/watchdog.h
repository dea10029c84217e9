// Looks after the reactors of a server: one whose thread is stuck in a call for two looks in a row
// is given another thread (see Relay), 35 ms after it got stuck at the latest. A look is a context
// switch: they are far apart, but for the one after a look that found somebody in a call. It looks
// only while there are calls, and sleeps after a second without one; the next call wakes it.
//
// Ownership: borrows the relays, which outlive stop().
//
// Thread-safety: asleep() and wake() from any thread; start() and stop() from the owner's.
#pragma once

#include <atomic>
#include <thread>
#include <vector>

#include "base/thread_annotations.h"

namespace barnabas::net {

class Relay;
enum class Sight : int;

class Watchdog {
 public:
  ~Watchdog() { stop(); }
  void start(std::vector<Relay*> relays);
  void stop() EXCLUDES(mutex_);
  [[nodiscard]] bool asleep() const { return asleep_.load(); }
  void wake() EXCLUDES(mutex_);

 private:
  static constexpr int kLookMs = 25;
  static constexpr int kCloseLookMs = 10;  // the second look at a call; never twice in a row
  static constexpr int kQuietLooks = 40;

  void run() EXCLUDES(mutex_);
  Sight look();
  void sleep() REQUIRES(mutex_);

  std::vector<Relay*> relays_;  // constant once started
  std::thread thread_;
  std::atomic<bool> asleep_{false};
  Mutex mutex_;
  ConditionVariable changed_;
  bool stopping_ GUARDED_BY(mutex_) = false;
};

}  // namespace barnabas::net
