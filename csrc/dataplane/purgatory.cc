#include "dataplane/purgatory.h"

#include <algorithm>
#include <utility>

namespace barnabas::dataplane {

Purgatory::Purgatory(net::Server& server, size_t reactor_count)
    : server_(server), shards_(reactor_count) {}

bool Purgatory::park(const std::shared_ptr<DelayedOperation>& operation,
                     int64_t deadline_monotonic_ns) {
  Shard& shard = shards_[operation->reactor()];
  if (shard.parked.contains(operation.get())) return true;
  if (shard.parked.size() >= shard.sweep_at) sweep(shard);
  if (shard.parked.size() >= kMaxParkedPerReactor || stopping_) return false;
  auto& place = shard.parked[operation.get()];
  place.operation = operation;
  place.timer =
      server_.add_timer(operation->reactor(), deadline_monotonic_ns, [raw = operation.get()] {
        const auto keep = raw->shared_from_this();  // it unparks itself
        raw->on_timeout();
      });
  parked_count_.fetch_add(1);
  return true;
}

void Purgatory::sweep(Shard& shard) {
  std::vector<std::shared_ptr<DelayedOperation>> orphans;
  for (const auto& [raw, parked] : shard.parked) {
    if (!server_.is_connected(raw->token())) orphans.push_back(parked.operation);
  }
  for (const auto& operation : orphans) unpark(*operation);
  shard.sweep_at = std::clamp(2 * shard.parked.size(), kMinParkedToSweep, kMaxParkedPerReactor);
}

void Purgatory::unpark(DelayedOperation& operation) {
  Shard& shard = shards_[operation.reactor()];
  const auto found = shard.parked.find(&operation);
  if (found == shard.parked.end()) return;
  server_.cancel_timer(operation.reactor(), found->second.timer);
  // The caller holds the operation by other means: it is not destroyed here while it runs.
  shard.parked.erase(found);
  parked_count_.fetch_sub(1);
}

void Purgatory::wake(std::shared_ptr<DelayedOperation> operation) {
  const uint32_t reactor = operation->reactor();
  if (server_.current_reactor() == reactor && shards_[reactor].in_request) {
    shards_[reactor].ready.push_back(std::move(operation));
    return;
  }
  server_.post(reactor, [operation = std::move(operation)] {
    operation->wake_pending_ = false;
    operation->on_wake();
  });
}

void Purgatory::begin_request(uint32_t reactor) { shards_[reactor].in_request = true; }

void Purgatory::end_request(uint32_t reactor) {
  Shard& shard = shards_[reactor];
  shard.in_request = false;
  if (shard.ready.empty()) return;
  const auto ready = std::exchange(shard.ready, {});
  for (const auto& operation : ready) {
    operation->wake_pending_ = false;
    operation->on_wake();
  }
}

void Purgatory::stop() {
  stopping_ = true;
  for (uint32_t reactor = 0; reactor < shards_.size(); ++reactor) {
    server_.post(reactor, [this, reactor] { stop_shard(reactor); });
  }
}

void Purgatory::stop_shard(uint32_t reactor) {
  std::vector<std::shared_ptr<DelayedOperation>> all;
  for (const auto& [raw, parked] : shards_[reactor].parked) all.push_back(parked.operation);
  for (const auto& operation : all) operation->on_stop();
}

void DelayedOperation::wake() {
  if (wake_pending_.exchange(true)) return;
  purgatory_.wake(std::static_pointer_cast<DelayedOperation>(shared_from_this()));
}

}  // namespace barnabas::dataplane
