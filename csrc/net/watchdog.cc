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
  for (int quiet_ticks = 0;;) {
    {
      MutexLock lock(mutex_);
      if (quiet_ticks >= kQuietTicks) {
        sleep();
        quiet_ticks = 0;
      } else if (!stopping_) {
        changed_.wait_for(mutex_, std::chrono::milliseconds(kTickMs));
      }
      if (stopping_) return;
    }
    quiet_ticks = look() ? 0 : quiet_ticks + 1;
  }
}

bool Watchdog::look() {
  bool any = false;
  for (Relay* const relay : relays_) any = relay->look() || any;
  return any;
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
