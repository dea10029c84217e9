#include "dataplane/delayed_produce.h"

#include <utility>

namespace barnabas::dataplane {

DelayedProduce::DelayedProduce(Purgatory& purgatory, net::Server& server, net::RequestToken token,
                               net::Bytes response, std::vector<Pending> pending)
    : DelayedOperation(purgatory, token),
      server_(server),
      response_(std::move(response)),
      pending_(std::move(pending)) {}

DelayedProduce::~DelayedProduce() {
  for (auto& pending : pending_) pending.partition->remove_watch(pending.watch);
}

void DelayedProduce::start(int64_t deadline_monotonic_ns) {
  for (auto& pending : pending_) {
    pending.watch.waiter = this;
    pending.watch.wake_offset = pending.required_offset;
    pending.partition->add_watch(pending.watch);
  }
  if (settle()) {
    answer();
    return;
  }
  const auto self = std::static_pointer_cast<DelayedProduce>(shared_from_this());
  if (!purgatory_.park(self, deadline_monotonic_ns)) give_up(ErrorCode::kRequestTimedOut);
}

void DelayedProduce::on_wake() {
  if (!answered_ && settle()) answer();
}

bool DelayedProduce::settle() {
  bool all = true;
  for (auto& pending : pending_) {
    if (pending.done) continue;
    if (pending.partition->high_watermark() >= pending.required_offset) {
      pending.done = true;
    } else if (const ErrorCode error = pending.partition->availability();
               error != ErrorCode::kNone) {
      set_error(pending, error);
      pending.done = true;
    } else {
      all = false;
    }
  }
  return all;
}

void DelayedProduce::give_up(ErrorCode error) {
  if (answered_) return;
  if (!settle()) {
    for (const auto& pending : pending_) {
      if (!pending.done) set_error(pending, error);
    }
  }
  answer();
}

void DelayedProduce::set_error(const Pending& pending, ErrorCode error) {
  store_be(response_.data() + pending.error_position, static_cast<int16_t>(error));
}

void DelayedProduce::answer() {
  answered_ = true;
  for (auto& pending : pending_) pending.partition->remove_watch(pending.watch);
  server_.respond(token_, net::Response::of(std::move(response_)));
  purgatory_.unpark(*this);
}

}  // namespace barnabas::dataplane
