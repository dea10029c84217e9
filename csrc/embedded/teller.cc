#include "embedded/teller.h"

#include <thread>
#include <utility>

namespace barnabas::embedded {
namespace {

thread_local bool is_teller = false;

}  // namespace

bool Teller::is_this_thread() { return is_teller; }

void Teller::tell(Callbacks callbacks, std::atomic<bool>& done) {
  MutexLock lock(mutex_);
  done.store(true, std::memory_order_release);
  waiting_.push_back(std::move(callbacks));
  ++given_;
  if (running_) return changed_.notify_one();
  running_ = true;
  std::thread([self = shared_from_this()] { self->run(); }).detach();
}

uint64_t Teller::given() {
  MutexLock lock(mutex_);
  return given_;
}

bool Teller::wait(uint64_t given, int64_t timeout_ns) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::nanoseconds(timeout_ns);
  MutexLock lock(mutex_);
  while (told_ < given) {
    const auto left = deadline - std::chrono::steady_clock::now();
    if (left <= left.zero()) return false;
    told_one_.wait_for(mutex_, left);
  }
  return true;
}

void Teller::run() {
  is_teller = true;
  while (true) {
    std::vector<Callbacks> now;
    {
      MutexLock lock(mutex_);
      const auto deadline = std::chrono::steady_clock::now() + kIdle;
      while (waiting_.empty()) {
        const auto left = deadline - std::chrono::steady_clock::now();
        if (left <= left.zero()) {
          running_ = false;
          return;
        }
        changed_.wait_for(mutex_, left);
      }
      now.swap(waiting_);
    }
    for (Callbacks& callbacks : now) {
      for (const auto& callback : callbacks) callback();
      callbacks.clear();
      MutexLock lock(mutex_);
      ++told_;
      told_one_.notify_all();
    }
  }
}

}  // namespace barnabas::embedded
