#include "loadgen/connect.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <memory>

#include "loadgen/plan.h"

namespace barnabas::loadgen {
namespace {

Error cannot_connect(const std::string& to, int error) {
  Error failure = peer_error("cannot connect to " + to + ": " + std::strerror(error));
  failure.sys_errno = error;
  return failure;
}

Result<UniqueFd> connect_address(const addrinfo& address, const std::string& to, int timeout_ms) {
  UniqueFd fd(::socket(address.ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return cannot_connect(to, errno);
  if (::connect(fd.get(), address.ai_addr, address.ai_addrlen) != 0) {
    if (errno != EINPROGRESS) return cannot_connect(to, errno);
    pollfd waiting{fd.get(), POLLOUT, 0};
    const int ready = ::poll(&waiting, 1, timeout_ms);
    if (ready == 0) return cannot_connect(to, ETIMEDOUT);
    if (ready < 0) return cannot_connect(to, errno);
    int error = 0;
    socklen_t length = sizeof error;
    ::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &length);
    if (error != 0) return cannot_connect(to, error);
  }
  const int on = 1;
  ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return fd;
}

}  // namespace

Result<UniqueFd> connect_to(const std::string& host, uint16_t port, int timeout_ms) {
  const std::string to = host + ":" + std::to_string(port);
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int failed = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
  if (failed != 0) return peer_error("cannot connect to " + to + ": " + ::gai_strerror(failed));
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> addresses(found, &::freeaddrinfo);
  Result<UniqueFd> last = peer_error("cannot connect to " + to + ": it has no address");
  for (const addrinfo* address = found; address != nullptr; address = address->ai_next) {
    last = connect_address(*address, to, timeout_ms);
    if (last.ok()) break;
  }
  return last;
}

}  // namespace barnabas::loadgen
