#include "net/request_memory.h"

#include <unistd.h>

#include <algorithm>

namespace barnabas::net {

int64_t RequestMemory::limit_of(int64_t queued_max_request_bytes) {
  if (queued_max_request_bytes > 0) return queued_max_request_bytes;
  const int64_t machine_bytes = int64_t{sysconf(_SC_PHYS_PAGES)} * sysconf(_SC_PAGESIZE);
  return std::clamp(machine_bytes / 4, kMinDefaultBytes, kMaxDefaultBytes);
}

void RequestMemory::set_limit(int64_t limit_bytes) {
  limit_bytes_ = limit_bytes;
  tell_waiting();
}

void RequestMemory::add(int64_t bytes) {
  used_bytes_ += bytes;
  if (bytes < 0) tell_waiting();
}

void RequestMemory::end_overdraft() {
  overdrawn_ = false;
  tell_waiting();
}

void RequestMemory::tell_waiting() {
  if (!waiting_ || (!has_room() && overdrawn_)) return;
  if (waiting_.exchange(false)) on_room_();
}

}  // namespace barnabas::net
