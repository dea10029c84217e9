#include "net/relay.h"

#include <pthread.h>

#include <exception>
#include <string>
#include <utility>

#include "base/logger.h"

namespace barnabas::net {

void Relay::reclaim() {
  claims_.fetch_add(1);
  wake_();
  MutexLock lock(mutex_);
  while (!free_) changed_.wait(mutex_);
  free_ = false;
  claims_.fetch_sub(1);
}

bool Relay::give_away() {
  MutexLock lock(mutex_);
  free_ = true;
  changed_.notify_all();
  return wait_for_vacancy();
}

bool Relay::await_vacancy() {
  MutexLock lock(mutex_);
  return wait_for_vacancy();
}

bool Relay::wait_for_vacancy() {
  ++spares_;
  while (!vacant_ && !ended_) changed_.wait(mutex_);
  --spares_;
  return std::exchange(vacant_, false);
}

void Relay::end() {
  MutexLock lock(mutex_);
  ended_ = true;
  changed_.notify_all();
}

void Relay::join() {
  std::vector<std::thread> threads;
  {
    MutexLock lock(mutex_);
    threads.swap(threads_);
  }
  for (std::thread& thread : threads) thread.join();
}

Sight Relay::look() {
  uint64_t now = state_.load();
  const bool inside = (now & kInside) != 0;
  if (std::exchange(seen_, now) != now) return inside ? Sight::kInside : Sight::kCalls;
  if (!inside) return Sight::kQuiet;
  if (!ensure_spare()) return Sight::kCalls;
  seen_ = now ^ kInside ^ kTaken;
  if (!state_.compare_exchange_strong(now, seen_)) return Sight::kCalls;
  MutexLock lock(mutex_);
  vacant_ = true;
  changed_.notify_all();
  return Sight::kCalls;
}

bool Relay::ensure_spare() {
  MutexLock lock(mutex_);
  if (spares_ > 0) return true;
  try {
    threads_.emplace_back(run_spare_);
  } catch (const std::exception& error) {
    if (!std::exchange(was_refused_, true)) {
      log(LogLevel::kError, "net",
          std::string("no thread for a reactor that a disk holds up: ") + error.what());
    }
    return false;
  }
  was_refused_ = false;
  pthread_setname_np(threads_.back().native_handle(), "bnb-standin");
  return true;
}

}  // namespace barnabas::net
