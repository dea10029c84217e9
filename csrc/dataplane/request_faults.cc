#include "dataplane/request_faults.h"

#include <utility>

#include "base/clock.h"

namespace barnabas::dataplane {
namespace {

bool concerns(const RequestFault& fault, const net::Request& request) {
  return fault.api_key == request.api_key &&
         (!fault.client_id.has_value() || request.client_id == fault.client_id) &&
         (!fault.peer_port.has_value() || request.peer_port == *fault.peer_port);
}

}  // namespace

uint64_t RequestFaults::add(RequestFault fault) {
  MutexLock lock(mutex_);
  const uint64_t id = next_id_++;
  entries_.emplace(id, Entry{std::move(fault), {}});
  update_any();
  return id;
}

std::vector<net::RequestToken> RequestFaults::remove(uint64_t id) {
  MutexLock lock(mutex_);
  entries_.erase(id);
  for (auto& [connection, delay] : delays_) {
    if (delay.id == id) delay.until_ns = 0;
  }
  std::vector<net::RequestToken> dropped;
  std::erase_if(dropped_, [&](const auto& item) {
    if (item.second.id != id) return false;
    dropped.push_back(item.second.token);
    return true;
  });
  update_any();
  return dropped;
}

std::vector<net::RequestToken> RequestFaults::end_all() {
  MutexLock lock(mutex_);
  std::vector<net::RequestToken> dropped;
  for (const auto& [connection, item] : dropped_) dropped.push_back(item.token);
  for (auto& [id, entry] : entries_) entry.fault.times = 0;
  delays_.clear();
  dropped_.clear();
  update_any();
  return dropped;
}

RequestFaults::Count RequestFaults::count(uint64_t id) const {
  MutexLock lock(mutex_);
  const auto found = entries_.find(id);
  return found == entries_.end() ? Count{} : found->second.count;
}

std::optional<RequestFaults::Strike> RequestFaults::strike(const net::Request& request,
                                                           int64_t now_ns) {
  MutexLock lock(mutex_);
  if (const auto found = delays_.find(connection_of(request.token)); found != delays_.end()) {
    const Delay delay = found->second;
    if (now_ns < delay.until_ns) {
      return Strike{delay.id, RequestEffect::kDelay, delay.until_ns, true};
    }
    delays_.erase(found);
    update_any();
    return std::nullopt;
  }
  for (auto& [id, entry] : entries_) {
    if (!concerns(entry.fault, request)) continue;
    ++entry.count.matched;
    if (entry.count.struck >= entry.fault.times) continue;
    ++entry.count.struck;
    Strike strike{id, entry.fault.effect, entry.fault.value, false};
    if (strike.effect == RequestEffect::kDelay) {
      strike.value = now_ns + entry.fault.value * kNsPerMs;
      delays_[connection_of(request.token)] = {id, strike.value};
    }
    return strike;
  }
  return std::nullopt;
}

void RequestFaults::take_back(const Strike& strike) {
  MutexLock lock(mutex_);
  const auto found = entries_.find(strike.id);
  if (found == entries_.end()) return;
  --found->second.count.matched;
  --found->second.count.struck;
}

void RequestFaults::note_dropped(const Strike& strike, const net::RequestToken& token) {
  MutexLock lock(mutex_);
  dropped_[connection_of(token)] = {strike.id, token};
  update_any();
}

void RequestFaults::forget(const net::RequestToken& connection) {
  MutexLock lock(mutex_);
  delays_.erase(connection_of(connection));
  dropped_.erase(connection_of(connection));
  update_any();
}

}  // namespace barnabas::dataplane
