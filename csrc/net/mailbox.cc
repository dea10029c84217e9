#include "net/mailbox.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <thread>

namespace barnabas::net {

Result<UniqueFd> Mailbox::create_eventfd() {
  UniqueFd fd(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  if (!fd.valid()) return system_error("eventfd", ErrorCode::kNetworkException);
  return fd;
}

void Mailbox::push(Message message) {
  bool wake = false;
  {
    MutexLock lock(mutex_);
    messages_.push_back(std::move(message));
    wake = std::exchange(asleep_, false);
    if (wake) wakers_.fetch_add(1, std::memory_order_relaxed);
  }
  if (wake) {
    const uint64_t one = 1;
    // Fails only when the counter is full, and then the reactor is awake anyway.
    [[maybe_unused]] const ssize_t n = ::write(eventfd_.get(), &one, sizeof one);
    wakers_.fetch_sub(1, std::memory_order_release);
  }
}

bool Mailbox::prepare_to_sleep() {
  MutexLock lock(mutex_);
  asleep_ = messages_.empty();
  return asleep_;
}

void Mailbox::take(std::vector<Message>& out) {
  out.clear();
  MutexLock lock(mutex_);
  asleep_ = false;
  out.swap(messages_);
}

void Mailbox::clear_wakeup() {
  uint64_t count = 0;
  [[maybe_unused]] const ssize_t n = ::read(eventfd_.get(), &count, sizeof count);
}

void Mailbox::close() {
  {
    MutexLock lock(mutex_);
    asleep_ = false;
  }
  // By the time of a late write the number could be that of another file.
  while (wakers_.load(std::memory_order_acquire) > 0) std::this_thread::yield();
  eventfd_.reset();
}

}  // namespace barnabas::net
