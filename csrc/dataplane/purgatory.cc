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
    : server_(server), per_reactor_(reactor_count) {}

bool Purgatory::park(const std::shared_ptr<DelayedOperation>& operation,
                     int64_t deadline_monotonic_ns) {
  PerReactor& own = per_reactor_[operation->reactor()];
  if (operation->parked_) return true;
  const size_t bytes = operation->memory_bytes();
  if (stopping_ || own.parked_count >= kMaxParkedPerReactor ||
      parked_bytes_ + bytes > kMaxParkedBytes || !server_.is_connected(operation->token())) {
    return false;
  }
  const auto timer =
      server_.add_timer(operation->reactor(), deadline_monotonic_ns, [raw = operation.get()] {
        const auto keep = raw->shared_from_this();  // it unparks itself
        raw->on_timeout();
      });
  own.parked[connection_key(operation->token())].push_back({operation, timer, bytes});
  operation->parked_ = true;
  ++own.parked_count;
  ++parked_count_;
  parked_bytes_ += bytes;
  return true;
}

void Purgatory::unpark(DelayedOperation& operation) {
  if (!operation.parked_) return;
  PerReactor& own = per_reactor_[operation.reactor()];
  const auto place = own.parked.find(connection_key(operation.token()));
  auto& of_connection = place->second;
  const auto found = std::find_if(of_connection.begin(), of_connection.end(),
                                  [&](const auto& p) { return p.operation.get() == &operation; });
  forget(own, *found);
  // The caller holds the operation by other means: it is not destroyed here while it runs.
  of_connection.erase(found);
  if (of_connection.empty()) own.parked.erase(place);
}

void Purgatory::forget(PerReactor& own, const PerReactor::Parked& parked) {
  server_.cancel_timer(parked.operation->reactor(), parked.timer);
  parked.operation->parked_ = false;
  --own.parked_count;
  --parked_count_;
  parked_bytes_ -= parked.memory_bytes;
}

void Purgatory::drop_connection(const net::RequestToken& token) {
  PerReactor& own = per_reactor_[token.reactor];
  auto dropped = own.parked.extract(connection_key(token));
  if (dropped.empty()) return;
  for (const auto& parked : dropped.mapped()) forget(own, parked);
}

void Purgatory::wake(std::shared_ptr<DelayedOperation> operation) {
  const uint32_t reactor = operation->reactor();
  if (server_.current_reactor() == reactor && per_reactor_[reactor].in_request) {
    per_reactor_[reactor].ready.push_back(std::move(operation));
    return;
  }
  server_.post(reactor, [operation = std::move(operation)] {
    operation->wake_pending_ = false;
    operation->on_wake();
  });
}

void Purgatory::begin_request(uint32_t reactor) { per_reactor_[reactor].in_request = true; }

void Purgatory::end_request(uint32_t reactor) {
  PerReactor& own = per_reactor_[reactor];
  own.in_request = false;
  if (own.ready.empty()) return;
  const auto ready = std::exchange(own.ready, {});
  for (const auto& operation : ready) {
    operation->wake_pending_ = false;
    operation->on_wake();
  }
}

void Purgatory::stop() {
  stopping_ = true;
  for (uint32_t reactor = 0; reactor < per_reactor_.size(); ++reactor) {
    server_.post(reactor, [this, reactor] { stop_own(reactor); });
  }
}

void Purgatory::stop_own(uint32_t reactor) {
  std::vector<std::shared_ptr<DelayedOperation>> all;
  for (const auto& [connection, of_connection] : per_reactor_[reactor].parked) {
    for (const auto& parked : of_connection) all.push_back(parked.operation);
  }
  for (const auto& operation : all) operation->on_stop();
}

void DelayedOperation::wake() {
  if (wake_pending_.exchange(true)) return;
  purgatory_.wake(std::static_pointer_cast<DelayedOperation>(shared_from_this()));
}

}  // namespace barnabas::dataplane
