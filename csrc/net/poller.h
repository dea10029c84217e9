// epoll(7), level-triggered: readiness is told again until it is used up, so that a connection may
// stop after a fair share and be found ready in the next round.
//
// Thread-safety: belongs to one reactor; add() also before its thread runs.
#pragma once

#include <sys/epoll.h>

#include <array>
#include <cstdint>
#include <span>

#include "base/fd.h"

namespace barnabas::net {

class Poller {
 public:
  static Result<Poller> create();

  /// `events`: EPOLLIN, EPOLLOUT or neither. `tag` comes back from wait().
  Status add(int fd, uint32_t events, uint64_t tag);
  Status modify(int fd, uint32_t events, uint64_t tag);
  void remove(int fd);
  void close() { epoll_.reset(); }

  /// Waits at most `timeout_ms` (-1: for ever); the result is valid until the next call.
  std::span<const epoll_event> wait(int timeout_ms);

 private:
  static constexpr size_t kMaxEvents = 256;  // of one round, for fairness with the mailbox

  UniqueFd epoll_;
  std::array<epoll_event, kMaxEvents> events_{};
};

}  // namespace barnabas::net
