// Who runs a reactor's loop. One thread does at a time; when it is stuck in a call that may block
// (a write to a disk that stalls), the watchdog takes the loop from it and a spare thread goes on
// with it. The stuck thread claims the loop once its call returns, gets it at the end of a round,
// and goes on where it was; whoever gave it away becomes a spare.
//
//   enter() ... leave(): true ------------------------------------ nothing has happened
//   enter() ... look(), look(): taken -> a spare runs the loop
//           ... leave(): false -> reclaim() -> give_away() by the spare -> goes on
//
// The threads are equal: which of them began does not matter. There are never more of them than
// calls that are stuck at the same time, and one.
//
// Thread-safety: enter, leave, give_away and end are of the thread that has the loop (leave also of
// one that had it), look of the watchdog. What the threads share of the reactor goes from one to
// the other under mutex_.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

#include "base/thread_annotations.h"
#include "net/watchdog.h"

namespace barnabas::net {

/// What a look at a relay finds.
enum class Sight : int {
  kQuiet,   // no call since the last one
  kCalls,   // there were some, or a stuck one is dealt with
  kInside,  // one that may be stuck: the next look says
};

class Relay {
 public:
  /// `run_spare` is what a new spare thread runs; it begins with await_vacancy(). `wake` ends a
  /// wait of the loop for events, from any thread.
  Relay(std::function<void()> run_spare, std::function<void()> wake)
      : run_spare_(std::move(run_spare)), wake_(std::move(wake)) {}
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;

  /// Without one nothing is ever taken. REQUIRES: the loop does not run yet.
  void set_watchdog(Watchdog* watchdog) { watchdog_ = watchdog; }

  /// A call that may block begins; the ticket is for leave().
  uint64_t enter() {
    const uint64_t ticket = (calls_ += kOneCall) | kInside;
    // Before a look at the watchdog: one that falls asleep looks for calls after it has said so.
    state_.exchange(ticket);
    // From here on calls_ may be another thread's.
    if (watchdog_ != nullptr && watchdog_->asleep()) watchdog_->wake();
    return ticket;
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
  /// After end(), and after the watchdog has stopped.
  void join() EXCLUDES(mutex_);

  /// What there is to see since the last look. A call that was there then loses the loop.
  Sight look() EXCLUDES(mutex_);
  [[nodiscard]] bool has_moved() const { return state_.load() != seen_; }

 private:
  // state_: the number of the last call, and whether a thread with the loop is inside of it.
  static constexpr uint64_t kInside = 1;
  static constexpr uint64_t kTaken = 2;
  static constexpr uint64_t kOneCall = 4;

  bool wait_for_vacancy() REQUIRES(mutex_);
  /// Whether there is a thread that could take the loop over; makes one if need be. When the system
  /// has none to give, the loop stays where it is until the next look.
  bool ensure_spare() EXCLUDES(mutex_);

  const std::function<void()> run_spare_;
  const std::function<void()> wake_;
  Watchdog* watchdog_ = nullptr;
  std::atomic<uint64_t> state_{0};
  uint64_t calls_ = 0;        // of the thread that has the loop
  uint64_t seen_ = 0;         // of the watchdog
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
