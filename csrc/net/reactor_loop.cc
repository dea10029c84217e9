// The reactor's loop, and how another thread takes it over from one that is stuck.
#include <algorithm>
#include <utility>

#include "net/blocking_scope.h"
#include "net/reactor.h"

namespace barnabas::net {
namespace {

thread_local Reactor* current_reactor = nullptr;

}  // namespace

Reactor* Reactor::current() { return current_reactor; }

void Reactor::run() {
  current_reactor = this;
  reap_idle();
  run_rounds();
  current_reactor = nullptr;
}

void Reactor::run_as_spare() {
  if (!relay_.await_vacancy()) return;
  current_reactor = this;
  take_over();
  run_rounds();
  current_reactor = nullptr;
}

void Reactor::run_rounds() {
  for (;;) {
    const bool ends = stopping_ && (drained() || clock_.monotonic_ns() >= stop_deadline_ns_);
    if (ends) {
      close_all();
      // Those that are stuck have the loop once more, each, to come to the end of what they did.
      if (displaced_ == 0) return relay_.end();
    } else {
      run_round();
    }
    if (!ends && !relay_.is_claimed()) continue;
    if (!relay_.give_away()) return;
    take_over();
  }
}

void Reactor::run_round() {
  const bool may_sleep = mailbox_.prepare_to_sleep();
  const auto events = poller_.wait(may_sleep ? timers_.timeout_ms(clock_.monotonic_ns()) : 0);
  take_mailbox();
  flush_dirty();
  const uint64_t tenure = tenure_;
  for (const epoll_event& event : events) {
    handle_event(event);
    flush_dirty();
    if (tenure_ != tenure) break;  // others have waited since; what is still so is told again
  }
  timers_.run_due(clock_.monotonic_ns());
  flush_dirty();
  free_closed();
}

void Reactor::close_all() {
  for (auto& connection : connections_) {
    if (connection != nullptr) close(*connection, nullptr);
  }
  free_closed();
  watches_.clear();
}

void Reactor::free_closed() {
  if (displaced_ == 0) return closed_.clear();
  std::erase_if(closed_, [](const auto& connection) { return !connection->pinned; });
}

void Reactor::take_over() {
  BlockingScope& stuck = *innermost_;
  stuck.serving_ = std::exchange(serving_, nullptr);
  if (stuck.serving_ != nullptr) stuck.serving_->pinned = true;
  stuck.scratch_ = std::exchange(scratch_, make_scratch());
  ++displaced_;
  ++tenure_;
  handler_.on_displaced(index_, stuck.resource_);
  take_mailbox();  // what was taken and not looked at yet wakes nobody
  flush_dirty();
}

void Reactor::come_back(BlockingScope& stuck) {
  relay_.reclaim();
  scratch_ = std::move(stuck.scratch_);
  serving_ = stuck.serving_;
  if (serving_ != nullptr) serving_->pinned = false;
  --displaced_;
  ++tenure_;
  handler_.on_returned(stuck.resource_);
}

BlockingScope::BlockingScope(const void* resource)
    : reactor_(current_reactor), resource_(resource) {
  if (reactor_ == nullptr) return;
  reactor_->innermost_ = this;
  ticket_ = reactor_->relay_.enter();
}

BlockingScope::~BlockingScope() {
  if (reactor_ != nullptr && !reactor_->relay_.leave(ticket_)) reactor_->come_back(*this);
}

}  // namespace barnabas::net
