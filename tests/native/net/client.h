// A client socket for the tests: blocking, with Kafka's framing made by hand.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/fd.h"

namespace barnabas::net::testing {

inline void put_be32(std::vector<uint8_t>& out, int32_t value) {
  out.resize(out.size() + 4);
  store_be<int32_t>(out.data() + out.size() - 4, value);
}

inline void put_be16(std::vector<uint8_t>& out, int16_t value) {
  out.resize(out.size() + 2);
  store_be<int16_t>(out.data() + out.size() - 2, value);
}

/// A whole request frame with a null client id.
inline std::vector<uint8_t> request_frame(int32_t correlation_id, const std::string& body = "",
                                          int16_t api_key = 3) {
  std::vector<uint8_t> frame;
  put_be32(frame, static_cast<int32_t>(10 + body.size()));
  put_be16(frame, api_key);
  put_be16(frame, 0);
  put_be32(frame, correlation_id);
  put_be16(frame, -1);
  frame.insert(frame.end(), body.begin(), body.end());
  return frame;
}

class Client {
 public:
  /// Not connected yet.
  Client() : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) { limit_waiting(); }
  explicit Client(uint16_t port, int receive_buffer_bytes = 0) : Client() {
    if (receive_buffer_bytes > 0) {
      ::setsockopt(fd_.get(), SOL_SOCKET, SO_RCVBUF, &receive_buffer_bytes,
                   sizeof receive_buffer_bytes);
    }
    connect(port);
  }

  bool connect(uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = ::connect(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
    return connected_;
  }

  /// False where there is no IPv6.
  bool connect_v6(uint16_t port) {
    fd_ = UniqueFd(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
    limit_waiting();
    sockaddr_in6 address{};
    address.sin6_family = AF_INET6;
    address.sin6_port = htons(port);
    address.sin6_addr = in6addr_loopback;
    connected_ = ::connect(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
    return connected_;
  }

  /// Closes with a reset, as a killed client's machine would.
  void reset() {
    const linger hard{1, 0};
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    fd_.reset();
  }

  [[nodiscard]] bool connected() const { return connected_; }
  [[nodiscard]] int fd() const { return fd_.get(); }

  bool send(ByteView bytes) {
    while (!bytes.empty()) {
      const ssize_t n = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n <= 0) return false;
      bytes = bytes.subspan(static_cast<size_t>(n));
    }
    return true;
  }

  /// The next answer without its length, or nothing when the server closed or nothing came.
  std::vector<uint8_t> receive_frame() {
    std::vector<uint8_t> prefix = receive(4);
    if (prefix.size() < 4) return {};
    return receive(static_cast<size_t>(load_be<int32_t>(prefix.data())));
  }

  /// Whether a part of an answer, or the end, has come by now.
  [[nodiscard]] bool has_something_to_receive() const {
    pollfd waiting{fd_.get(), POLLIN, 0};
    return ::poll(&waiting, 1, 0) == 1;
  }

  /// Whether the server has closed: an orderly end or a reset, within the time limit.
  bool closed_by_server() {
    uint8_t byte = 0;
    const ssize_t n = ::recv(fd_.get(), &byte, 1, 0);
    return n == 0 || (n < 0 && errno == ECONNRESET);
  }

  std::vector<uint8_t> receive(size_t count) {
    std::vector<uint8_t> bytes(count);
    size_t have = 0;
    while (have < count) {
      const ssize_t n = ::recv(fd_.get(), bytes.data() + have, count - have, 0);
      if (n <= 0) break;
      have += static_cast<size_t>(n);
    }
    bytes.resize(have);
    return bytes;
  }

 private:
  void limit_waiting() {
    const timeval limit{10, 0};  // a test that waits longer has failed
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  }

  UniqueFd fd_;
  bool connected_ = false;
};

}  // namespace barnabas::net::testing
