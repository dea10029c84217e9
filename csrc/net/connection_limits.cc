#include "net/connection_limits.h"

namespace barnabas::net {

void ConnectionLimits::set(int64_t max_connections, int64_t max_per_ip) {
  MutexLock lock(mutex_);
  max_connections_ = max_connections;
  max_per_ip_ = max_per_ip;
}

const char* ConnectionLimits::acquire(const std::string& host) {
  MutexLock lock(mutex_);
  int64_t& count = per_ip_[host];
  if (count >= max_per_ip_) {
    if (count == 0) per_ip_.erase(host);
    return "max.connections.per.ip";
  }
  ++count;
  ++open_;
  return nullptr;
}

void ConnectionLimits::release(const std::string& host) {
  MutexLock lock(mutex_);
  --open_;
  const auto found = per_ip_.find(host);
  if (found != per_ip_.end() && --found->second == 0) per_ip_.erase(found);
}

bool ConnectionLimits::full() const {
  MutexLock lock(mutex_);
  return open_ >= max_connections_;
}

}  // namespace barnabas::net
