#include "net/poller.h"

namespace barnabas::net {

Result<Poller> Poller::create() {
  Poller poller;
  poller.epoll_ = UniqueFd(::epoll_create1(EPOLL_CLOEXEC));
  if (!poller.epoll_.valid()) return system_error("epoll_create1", ErrorCode::kNetworkException);
  return poller;
}

Status Poller::add(int fd, uint32_t events, uint64_t tag) {
  epoll_event event{events, {.u64 = tag}};
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
    return system_error("epoll_ctl", ErrorCode::kNetworkException);
  }
  return {};
}

Status Poller::modify(int fd, uint32_t events, uint64_t tag) {
  epoll_event event{events, {.u64 = tag}};
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event) != 0) {
    return system_error("epoll_ctl", ErrorCode::kNetworkException);
  }
  return {};
}

void Poller::remove(int fd) { ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr); }

std::span<const epoll_event> Poller::wait(int timeout_ms) {
  const int n =
      ::epoll_wait(epoll_.get(), events_.data(), static_cast<int>(events_.size()), timeout_ms);
  return {events_.data(), n > 0 ? static_cast<size_t>(n) : 0};
}

}  // namespace barnabas::net
