// max.connections and max.connections.per.ip, counted over all reactors. As in Kafka a connection
// beyond the first waits to be accepted, and one beyond the second is closed.
//
// Thread-safety: safe from every thread.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>

#include "base/thread_annotations.h"

namespace barnabas::net {

class ConnectionLimits {
 public:
  void set(int64_t max_connections, int64_t max_per_ip) EXCLUDES(mutex_);
  /// Counts a connection of `host`; nullptr when it may stay, else the limit it would pass.
  const char* acquire(const std::string& host) EXCLUDES(mutex_);
  void release(const std::string& host) EXCLUDES(mutex_);
  /// max.connections is reached: nothing may be accepted.
  [[nodiscard]] bool full() const EXCLUDES(mutex_);

 private:
  mutable Mutex mutex_;
  int64_t max_connections_ GUARDED_BY(mutex_) = INT32_MAX;
  int64_t max_per_ip_ GUARDED_BY(mutex_) = INT32_MAX;
  int64_t open_ GUARDED_BY(mutex_) = 0;
  std::unordered_map<std::string, int64_t> per_ip_ GUARDED_BY(mutex_);
};

}  // namespace barnabas::net
