// Who runs a reactor's loop. One thread does at a time; when it is stuck in a call that may block
// (a write to a disk that stalls), the watchdog takes the loop from it and a spare thread goes on
// with it. The stuck thread claims the loop once its call returns, gets it at the end of a round,
// and goes on where it was; whoever gave it away becomes a spare.
//
//   enter() ... leave(): true ------------------------------------ nothing has happened
//   enter() ... look(): taken -> a spare runs the loop
//           ... leave(): false -> reclaim() -> give_away() by the spare -> goes on
//
// The threads are equal: which of them began does not matter. There are never more of them than
// calls that are stuck at the same time, and one.
//
// The watchdog looks when the alarm rings. A call that begins puts it off when it would ring before
// the call has been there for kPatienceNs: while calls come and go it never rings, and few of them
// touch it. The alarm is the kernel's, so that nobody wakes up to find that nothing is stuck.
//
// Thread-safety: enter, leave, give_away and end are of the thread that has the loop (leave also of
// one that had it), look of the watchdog. What the threads share of the reactor goes from one to
// the other under mutex_.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <thread>
#include <utility>
#include <vector>

#include "base/thread_annotations.h"
#include "net/alarm.h"

namespace barnabas::net {

class Relay {
 public:
  /// A call that is there for so long is stuck.
  static constexpr int64_t kPatienceNs = 20'000'000;
  /// So long after its beginning a call that is stuck is seen, at the latest.
  static constexpr int64_t kLookNs = 36'000'000;

  /// `run_spare` is what a new spare thread runs; it begins with await_vacancy(). `wake` ends a
  /// wait of the loop for events, from any thread.
  Relay(std::function<void()> run_spare, std::function<void()> wake)
      : run_spare_(std::move(run_spare)), wake_(std::move(wake)) {}
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;

  /// What calls the watchdog; without one nothing is ever taken. REQUIRES: the loop does not run.
  void set_alarm(Alarm alarm) { alarm_ = std::move(alarm); }

  /// A call that may block begins; the ticket is for leave().
  uint64_t enter() {
    put_off_look();  // before the call is there to be seen: see look()
    const uint64_t ticket = (calls_ += kOneCall) | kInside;
    state_.store(ticket);
    return ticket;  // from here on calls_ may be another thread's
  }
  /// False when the loop was taken meanwhile.
  [[nodiscard]] bool leave(uint64_t ticket) {
    return state_.compare_exchange_strong(ticket, ticket & ~kInside);
  }
  /// After leave() said no: waits until the loop is this thread's again.
  void reclaim() EXCLUDES(mutex_);

  [[nodiscard]] bool is_claimed() const { return claims_.load() != 0; }
  /// Lets a thread that claims the loop have it, and waits until a loop is to be taken over: false
  /// when there will be none any more.
  [[nodiscard]] bool give_away() EXCLUDES(mutex_);
  /// Waits, as a spare, until there is a loop to take over: false when there will be none any more.
  [[nodiscard]] bool await_vacancy() EXCLUDES(mutex_);
  /// The loop has ended: sends the spares home.
  void end() EXCLUDES(mutex_);
  /// After end(), and after the watchdog has stopped: there are no calls any more.
  void join() EXCLUDES(mutex_);

  /// The alarm has rung, at `now_ns` or before (CLOCK_MONOTONIC): a call that is stuck loses the
  /// loop.
  void look(int64_t now_ns) EXCLUDES(mutex_);

 private:
  // state_: the number of the last call, and whether a thread with the loop is inside of it.
  static constexpr uint64_t kInside = 1;
  static constexpr uint64_t kTaken = 2;
  static constexpr uint64_t kOneCall = 4;

  // How long after a look that got no spare the next one is.
  static constexpr int64_t kRetryNs = 10'000'000;

  void put_off_look();
  bool wait_for_vacancy() REQUIRES(mutex_);
  /// Whether there is a thread that could take the loop over; makes one if need be. When the system
  /// has none to give, the loop stays where it is until the next look.
  bool ensure_spare() EXCLUDES(mutex_);

  const std::function<void()> run_spare_;
  const std::function<void()> wake_;
  Alarm alarm_;
  std::atomic<int64_t> look_ns_{0};  // what the thread that has the loop has set alarm_ to
  std::atomic<uint64_t> state_{0};
  uint64_t calls_ = 0;        // of the thread that has the loop
  bool was_refused_ = false;  // of the watchdog: the last thread that was asked for
  std::atomic<int> claims_{0};

  Mutex mutex_;
  ConditionVariable changed_;
  bool free_ GUARDED_BY(mutex_) = false;    // given away: for one that claims it
  bool vacant_ GUARDED_BY(mutex_) = false;  // taken away: for a spare
  bool ended_ GUARDED_BY(mutex_) = false;
  int spares_ GUARDED_BY(mutex_) = 0;  // that wait
  std::vector<std::thread> threads_ GUARDED_BY(mutex_);
};

}  // namespace barnabas::net
