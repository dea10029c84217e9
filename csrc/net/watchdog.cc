#include "net/watchdog.h"

#include <pthread.h>

#include <utility>

#include "base/clock.h"
#include "net/relay.h"

namespace barnabas::net {

Status Watchdog::start(std::vector<Relay*> relays) {
  relays_ = std::move(relays);
  BARNABAS_ASSIGN(poller_, Poller::create());
  for (size_t i = 0; i < relays_.size(); ++i) {
    BARNABAS_ASSIGN(Alarm alarm, Alarm::create());
    BARNABAS_TRY(watch(alarm, i));
    relays_[i]->set_alarm(std::move(alarm));
  }
  BARNABAS_ASSIGN(end_, Alarm::create());
  BARNABAS_TRY(watch(end_, relays_.size()));
  thread_ = std::thread([this] { run(); });
  return {};
}

Status Watchdog::watch(const Alarm& alarm, size_t tag) {
  return poller_.add(alarm.fd(), EPOLLIN, tag);
}

void Watchdog::stop() {
  if (!thread_.joinable()) return;
  end_.ring_at(0);
  thread_.join();
  poller_.close();
  end_ = {};
}

void Watchdog::run() {
  pthread_setname_np(pthread_self(), "bnb-watchdog");
  for (;;) {
    for (const epoll_event& event : poller_.wait(-1)) {
      if (event.data.u64 == relays_.size()) return;
      relays_[event.data.u64]->look(system_clock().monotonic_ns());
    }
  }
}

}  // namespace barnabas::net
