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
  alarm_ = {};
}

void Relay::put_off_look() {
  const int64_t now_ns = Alarm::coarse_now_ns();
  if (look_ns_.load(std::memory_order_relaxed) - now_ns >= kPatienceNs) return;
  look_ns_.store(now_ns + kLookNs, std::memory_order_relaxed);
  alarm_.ring_at(now_ns + kLookNs);
}

void Relay::look(int64_t now_ns) {
  alarm_.silence();
  uint64_t now = state_.load();
  // After state_: whose call is seen has put off the look before.
  const int64_t due_ns = look_ns_.load();
  if (due_ns > now_ns) return alarm_.ring_at(due_ns);  // it was put off while it rang
  if ((now & kInside) == 0) return;
  if (!ensure_spare()) return alarm_.ring_at(now_ns + kRetryNs);
  if (!state_.compare_exchange_strong(now, now ^ kInside ^ kTaken)) return;
  MutexLock lock(mutex_);
  vacant_ = true;
  changed_.notify_all();
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
