#include "embedded/outcome.h"

#include <chrono>
#include <utility>

namespace barnabas::embedded {

bool Outcome::wait(int64_t timeout_ns) {
  if (done()) return true;
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::nanoseconds(timeout_ns);
  MutexLock lock(mutex_);
  while (!done()) {
    const auto left = deadline - std::chrono::steady_clock::now();
    if (left <= left.zero()) return false;
    changed_.wait_for(mutex_, left);
  }
  return true;
}

void Outcome::when_done(std::function<void()> callback) {
  {
    MutexLock lock(mutex_);
    if (!done()) {
      callbacks_.push_back(std::move(callback));
      return;
    }
  }
  callback();
}

void Outcome::set_produced(const Result<dataplane::Produced>& produced) {
  if (produced.ok()) {
    place_ = *produced;
  } else {
    error_ = produced.error().code;
    message_ = produced.error().message;
  }
  settle(!produced.ok());
}

void Outcome::set_durable(ErrorCode error) {
  if (error != ErrorCode::kNone) {
    error_ = error;
    message_ = "it could not be made durable";
  }
  settle(false);
}

void Outcome::settle(bool all) {
  {
    MutexLock lock(mutex_);
    halves_ += all ? 2 : 1;
    if (halves_ < 2) return;
    if (callbacks_.empty()) {
      done_.store(true, std::memory_order_release);
    } else {
      teller_->tell(std::move(callbacks_), done_);
    }
  }
  changed_.notify_all();
}

}  // namespace barnabas::embedded
