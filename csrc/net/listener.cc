#include "net/listener.h"

#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cstring>
#include <memory>

namespace barnabas::net {
namespace {

constexpr int kMaxPortAttempts = 8;
constexpr std::string_view kMappedPrefix = "::ffff:";  // an IPv4 peer of an IPv6 socket

struct FreeAddresses {
  void operator()(addrinfo* list) const { ::freeaddrinfo(list); }
};
using AddressList = std::unique_ptr<addrinfo, FreeAddresses>;

Peer peer_of(const sockaddr_storage& address, socklen_t length) {
  std::array<char, NI_MAXHOST> host{};
  std::array<char, NI_MAXSERV> port{};
  if (::getnameinfo(reinterpret_cast<const sockaddr*>(&address), length, host.data(), host.size(),
                    port.data(), port.size(), NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
    return {};
  }
  std::string text(host.data());
  if (text.starts_with(kMappedPrefix)) text.erase(0, kMappedPrefix.size());
  return {std::move(text), static_cast<uint16_t>(std::stoi(port.data()))};
}

Error listen_error(const std::string& what) {
  return system_error(what, ErrorCode::kNetworkException);
}

Result<UniqueFd> bind_to(const addrinfo& address, uint16_t port, const ListenOptions& options,
                         const std::string& what) {
  UniqueFd fd(::socket(address.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return listen_error(what);
  const int on = 1;
  const int off = 0;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  // "::" takes IPv4 clients, too, whatever the system's default is.
  if (address.ai_family == AF_INET6) {
    ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  }
  // Inherited by accepted sockets, and needed before the handshake: it scales the TCP window.
  if (const int bytes = options.receive_buffer_bytes; bytes > 0) {
    ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
  }
  sockaddr_storage bound{};
  std::memcpy(&bound, address.ai_addr, address.ai_addrlen);
  // The port lies at the same place in sockaddr_in and sockaddr_in6.
  reinterpret_cast<sockaddr_in*>(&bound)->sin_port = htons(port);
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&bound), address.ai_addrlen) != 0 ||
      ::listen(fd.get(), options.backlog) != 0) {
    return listen_error(what);
  }
  return fd;
}

Result<AddressList> resolve(const std::string& host, const std::string& what) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  // Of "every interface" only "::" is asked for: it takes both families.
  const char* const name = host.empty() ? "::" : host.c_str();
  int code = ::getaddrinfo(name, nullptr, &hints, &found);
  if (code != 0 && host.empty()) code = ::getaddrinfo("0.0.0.0", nullptr, &hints, &found);
  if (code != 0) {
    return Error{ErrorCode::kNetworkException, what + ": " + ::gai_strerror(code), 0};
  }
  return AddressList(found);
}

bool listed_before(const addrinfo& list, const addrinfo& address) {
  for (const addrinfo* other = &list; other != &address; other = other->ai_next) {
    if (other->ai_addrlen == address.ai_addrlen &&
        std::memcmp(other->ai_addr, address.ai_addr, address.ai_addrlen) == 0) {
      return true;
    }
  }
  return false;
}

/// A family that this machine does not have: no reason to fail when the name has another address.
bool is_missing_family(const Error& error) {
  return error.sys_errno == EAFNOSUPPORT || error.sys_errno == EADDRNOTAVAIL;
}

Result<std::vector<UniqueFd>> bind_all(const addrinfo& list, uint16_t port,
                                       const ListenOptions& options, const std::string& what) {
  std::vector<UniqueFd> listeners;
  Error missing;
  for (const addrinfo* address = &list; address != nullptr; address = address->ai_next) {
    if (listed_before(list, *address)) continue;  // a name may stand twice in /etc/hosts
    auto fd = bind_to(*address, port, options, what);
    if (!fd.ok()) {
      if (!is_missing_family(fd.error())) return std::move(fd).error();
      missing = std::move(fd).error();
      continue;
    }
    if (port == 0) {
      BARNABAS_ASSIGN(port, bound_port(*fd));
    }
    listeners.push_back(std::move(*fd));
  }
  if (listeners.empty()) return missing;
  return listeners;
}

}  // namespace

Result<std::vector<UniqueFd>> open_listeners(const std::string& host, uint16_t port,
                                             const ListenOptions& options) {
  const std::string shown = host.empty()                  ? "*"
                            : host.find(':') != host.npos ? "[" + host + "]"
                                                          : host;
  const std::string what = "cannot listen on " + shown + ":" + std::to_string(port);
  BARNABAS_ASSIGN(const AddressList list, resolve(host, what));
  for (int attempt = 0;; ++attempt) {
    auto listeners = bind_all(*list, port, options, what);
    if (listeners.ok()) return listeners;
    // "::" on a machine without IPv6.
    if (host.empty() && is_missing_family(listeners.error())) {
      return open_listeners("0.0.0.0", port, options);
    }
    // The port picked for the first address may be taken on the second.
    const bool again = port == 0 && listeners.error().sys_errno == EADDRINUSE;
    if (!again || attempt == kMaxPortAttempts) return listeners;
  }
}

Result<uint16_t> bound_port(const UniqueFd& listener) {
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  if (::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &length) != 0) {
    return system_error("getsockname", ErrorCode::kNetworkException);
  }
  return peer_of(address, length).port;
}

Accepted accept_connection(const UniqueFd& listener) {
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  int fd = -1;
  do {
    fd = ::accept4(listener.get(), reinterpret_cast<sockaddr*>(&address), &length,
                   SOCK_NONBLOCK | SOCK_CLOEXEC);
  } while (fd < 0 && errno == EINTR);
  if (fd < 0) return {UniqueFd(), {}, errno};
  return {UniqueFd(fd), peer_of(address, length), 0};
}

}  // namespace barnabas::net
