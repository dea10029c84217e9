#include "net/watchdog.h"

#include <pthread.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "net/relay.h"

namespace barnabas::net {

void Watchdog::start(std::vector<Relay*> relays) {
  relays_ = std::move(relays);
  thread_ = std::thread([this] { run(); });
}

void Watchdog::stop() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

void Watchdog::wake() {
  MutexLock lock(mutex_);
  asleep_.store(false);
  changed_.notify_all();
}

void Watchdog::run() {
  pthread_setname_np(pthread_self(), "bnb-watchdog");
  int quiet_looks = 0;
  bool is_close = false;
  for (;;) {
    {
      MutexLock lock(mutex_);
      if (quiet_looks >= kQuietLooks) {
        sleep();
        quiet_looks = 0;
      } else if (!stopping_) {
        changed_.wait_for(mutex_, std::chrono::milliseconds(is_close ? kCloseLookMs : kLookMs));
      }
      if (stopping_) return;
    }
    const Sight sight = look();
    quiet_looks = sight == Sight::kQuiet ? quiet_looks + 1 : 0;
    is_close = sight == Sight::kInside && !is_close;
  }
}

Sight Watchdog::look() {
  Sight most = Sight::kQuiet;
  for (Relay* const relay : relays_) most = std::max(most, relay->look());
  return most;
}

void Watchdog::sleep() {
  asleep_.store(true);
  // A call that began before that has not seen it; one that begins now will.
  if (std::any_of(relays_.begin(), relays_.end(), [](const Relay* r) { return r->has_moved(); })) {
    asleep_.store(false);
  }
  while (asleep_.load() && !stopping_) changed_.wait(mutex_);
  asleep_.store(false);
}

}  // namespace barnabas::net
