// A broker that acknowledges every Produce request, or stops doing so, in a thread of its own.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "base/fd.h"
#include "loadgen/answers.h"

namespace barnabas::loadgen::testing {

class FakeBroker {
 public:
  FakeBroker() : listener_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    ::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), length);
    ::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &length);
    ::listen(listener_.get(), 64);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { serve(); });
  }
  ~FakeBroker() {
    ends_ = true;
    thread_.join();
  }

  [[nodiscard]] uint16_t port() const { return port_; }
  [[nodiscard]] int64_t requests() const { return requests_; }
  /// Answers nothing for so long, from now on.
  void stall(std::chrono::milliseconds time) { stall_ms_ = time.count(); }
  /// Closes every connection.
  void hang_up() { hangs_up_ = true; }

 private:
  struct Connection {
    UniqueFd fd;
    std::vector<uint8_t> bytes;
  };

  void serve() {
    while (!ends_) {
      if (hangs_up_) connections_.clear();
      if (const int64_t ms = stall_ms_.exchange(0); ms > 0) {
        std::this_thread::sleep_for(std::chrono::milliseconds(ms));
      }
      std::vector<pollfd> polled{{listener_.get(), POLLIN, 0}};
      for (const Connection& connection : connections_) {
        polled.push_back({connection.fd.get(), POLLIN, 0});
      }
      ::poll(polled.data(), polled.size(), 5);
      for (size_t i = 1; i < polled.size(); ++i) {
        if (polled[i].revents != 0) receive(connections_[i - 1]);
      }
      if (polled[0].revents != 0) {
        connections_.push_back({UniqueFd(::accept(listener_.get(), nullptr, nullptr)), {}});
      }
    }
  }

  void receive(Connection& connection) {
    uint8_t buffer[1 << 16];
    const ssize_t got = ::recv(connection.fd.get(), buffer, sizeof buffer, MSG_DONTWAIT);
    if (got <= 0) return;
    connection.bytes.insert(connection.bytes.end(), buffer, buffer + got);
    size_t at = 0;
    while (connection.bytes.size() - at >= 12) {
      const size_t size = load_be<uint32_t>(connection.bytes.data() + at) + size_t{4};
      if (connection.bytes.size() - at < size) break;
      const auto id = load_be<int32_t>(connection.bytes.data() + at + 8);
      ++requests_;  // before the answer: whoever has that finds this
      const auto answer = produce_answer(id).frame();
      ::send(connection.fd.get(), answer.data(), answer.size(), MSG_NOSIGNAL);
      at += size;
    }
    connection.bytes.erase(connection.bytes.begin(),
                           connection.bytes.begin() + static_cast<ptrdiff_t>(at));
  }

  UniqueFd listener_;
  uint16_t port_ = 0;
  std::vector<Connection> connections_;
  std::atomic<int64_t> requests_{0};
  std::atomic<int64_t> stall_ms_{0};
  std::atomic<bool> hangs_up_{false};
  std::atomic<bool> ends_{false};
  std::thread thread_;
};

}  // namespace barnabas::loadgen::testing
