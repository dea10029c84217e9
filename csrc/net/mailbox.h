// What other threads ask of a reactor: answers to send and tasks to run. The eventfd is written
// only when the reactor sleeps: one wake-up for all that gathers, none while it is awake.
//
// Thread-safety: push from any thread; the rest from the reactor, or when it has ended.
#pragma once

#include <atomic>
#include <utility>
#include <variant>
#include <vector>

#include "base/fd.h"
#include "base/thread_annotations.h"
#include "net/server.h"

namespace barnabas::net {

class Mailbox {
 public:
  using Answer = std::pair<RequestToken, Response>;
  using Message = std::variant<Answer, Task>;

  static Result<UniqueFd> create_eventfd();
  explicit Mailbox(UniqueFd eventfd) : eventfd_(std::move(eventfd)) {}

  void push(Message message) EXCLUDES(mutex_);
  /// Called before the reactor waits: true when nothing is there, and from now on push() wakes it;
  /// false when it must not sleep.
  [[nodiscard]] bool prepare_to_sleep() EXCLUDES(mutex_);
  /// Everything pushed so far, in order, swapped into `out` (whose storage is reused). The reactor
  /// counts as awake from here on.
  void take(std::vector<Message>& out) EXCLUDES(mutex_);
  [[nodiscard]] int fd() const { return eventfd_.get(); }
  void clear_wakeup();
  /// Closes the eventfd: what is pushed from here on wakes nobody. REQUIRES: the reactor has ended
  void close() EXCLUDES(mutex_);

 private:
  UniqueFd eventfd_;            // constant before close()
  std::atomic<int> wakers_{0};  // threads that write to it
  Mutex mutex_;
  std::vector<Message> messages_ GUARDED_BY(mutex_);
  bool asleep_ GUARDED_BY(mutex_) = true;  // the reactor waits, and nobody has woken it yet
};

}  // namespace barnabas::net
