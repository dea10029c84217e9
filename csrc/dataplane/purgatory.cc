#include "dataplane/purgatory.h"

#include <algorithm>
#include <utility>

namespace barnabas::dataplane {

namespace {

uint64_t connection_key(const net::RequestToken& token) {
  return static_cast<uint64_t>(token.generation) << 32 | token.connection;
}

}  // namespace

Purgatory::Purgatory(net::Server& server, size_t reactor_count)
    : server_(server), shards_(reactor_count) {}

bool Purgatory::park(const std::shared_ptr<DelayedOperation>& operation,
                     int64_t deadline_monotonic_ns) {
  Shard& shard = shards_[operation->reactor()];
  if (operation->parked_) return true;
  const size_t bytes = operation->memory_bytes();
  if (stopping_ || shard.parked_count >= kMaxParkedPerReactor ||
      parked_bytes_ + bytes > kMaxParkedBytes || !server_.is_connected(operation->token())) {
    return false;
  }
  const auto timer =
      server_.add_timer(operation->reactor(), deadline_monotonic_ns, [raw = operation.get()] {
        const auto keep = raw->shared_from_this();  // it unparks itself
        raw->on_timeout();
      });
  shard.parked[connection_key(operation->token())].push_back({operation, timer, bytes});
  operation->parked_ = true;
  ++shard.parked_count;
  ++parked_count_;
  parked_bytes_ += bytes;
  return true;
}

void Purgatory::unpark(DelayedOperation& operation) {
  if (!operation.parked_) return;
  Shard& shard = shards_[operation.reactor()];
  const auto place = shard.parked.find(connection_key(operation.token()));
  auto& of_connection = place->second;
  const auto found = std::find_if(of_connection.begin(), of_connection.end(),
                                  [&](const auto& p) { return p.operation.get() == &operation; });
  forget(shard, *found);
  // The caller holds the operation by other means: it is not destroyed here while it runs.
  of_connection.erase(found);
  if (of_connection.empty()) shard.parked.erase(place);
}

void Purgatory::forget(Shard& shard, const Shard::Parked& parked) {
  server_.cancel_timer(parked.operation->reactor(), parked.timer);
  parked.operation->parked_ = false;
  --shard.parked_count;
  --parked_count_;
  parked_bytes_ -= parked.memory_bytes;
}

void Purgatory::drop_connection(const net::RequestToken& token) {
  Shard& shard = shards_[token.reactor];
  auto dropped = shard.parked.extract(connection_key(token));
  if (dropped.empty()) return;
  for (const auto& parked : dropped.mapped()) forget(shard, parked);
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
  for (const auto& [connection, of_connection] : shards_[reactor].parked) {
    for (const auto& parked : of_connection) all.push_back(parked.operation);
  }
  for (const auto& operation : all) operation->on_stop();
}

void DelayedOperation::wake() {
  if (wake_pending_.exchange(true)) return;
  purgatory_.wake(std::static_pointer_cast<DelayedOperation>(shared_from_this()));
}

}  // namespace barnabas::dataplane
