// A server on a loopback port, with a handler whose answers the request's body chooses, and a clock
// that can skip.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/logger.h"
#include "client.h"
#include "net/server.h"

namespace barnabas::net::testing {

/// Answers with the correlation id and the body. What `plan` says about a request comes first.
class EchoHandler : public RequestHandler {
 public:
  Admission on_request(const Request& request) override {
    ++offered;
    if (busy.load()) return Admission::kBusy;
    const std::string body(as_text(request.body));
    if (body == "reject") return Admission::kReject;
    if (body == "alone at once") {
      server->respond(request.token, echo(request.correlation_id, body));
      return Admission::kTakenAlone;
    }
    if (body == "alone") {
      const std::lock_guard lock(mutex);
      waiting.emplace_back(request.token, request.correlation_id);
      arrived.notify_all();
      return Admission::kTakenAlone;
    }
    if (body == "later") {
      const std::lock_guard lock(mutex);
      waiting.emplace_back(request.token, request.correlation_id);
      arrived.notify_all();
      return Admission::kTaken;
    }
    if (body == "none") {
      server->respond(request.token, Response::none());
    } else if (body == "close") {
      server->respond(request.token, Response::close());
    } else {
      server->respond(request.token, echo(request.correlation_id, body));
    }
    return Admission::kTaken;
  }

  static Response echo(int32_t correlation_id, const std::string& body) {
    Bytes bytes;
    testing::put_be32(bytes, correlation_id);
    bytes.insert(bytes.end(), body.begin(), body.end());
    return Response::of(std::move(bytes));
  }

  std::vector<std::pair<RequestToken, int32_t>> wait_for(size_t count) {
    std::unique_lock lock(mutex);
    arrived.wait(lock, [&] { return waiting.size() >= count; });
    return waiting;
  }

  Server* server = nullptr;
  std::atomic<int> offered{0};
  std::atomic<bool> busy{false};
  std::mutex mutex;
  std::condition_variable arrived;
  std::vector<std::pair<RequestToken, int32_t>> waiting;
};

class ServerTest : public ::testing::Test {
 public:
  ~ServerTest() override { server.reset(); }  // before the handler

 protected:
  void start(ServerConfig config = {}, Clock& clock = system_clock()) {
    server = Server::create(config, handler, clock);
    handler.server = server.get();
    auto bound = server->listen("127.0.0.1", 0);
    ASSERT_TRUE(bound.ok()) << bound.error().message;
    port = *bound;
    ASSERT_TRUE(server->start().ok());
  }

  static int32_t correlation(const std::vector<uint8_t>& frame) {
    return frame.size() < 4 ? -1 : load_be<int32_t>(frame.data());
  }

  EchoHandler handler;
  std::unique_ptr<Server> server;
  uint16_t port = 0;
};

class ManualClock final : public Clock {
 public:
  [[nodiscard]] int64_t wall_ms() const override { return 0; }
  [[nodiscard]] int64_t monotonic_ns() const override {
    return system_clock().monotonic_ns() + skipped_ns.load();
  }
  [[nodiscard]] int64_t steady_ms() const override { return 0; }
  std::atomic<int64_t> skipped_ns{0};
};

/// Collects log lines while it lives.
class LogCapture {
 public:
  LogCapture() {
    set_log_sink([this](LogLevel, std::string_view, std::string_view message) {
      const std::lock_guard lock(mutex_);
      lines_.emplace_back(message);
      added_.notify_all();
    });
  }
  ~LogCapture() { set_log_sink(nullptr); }
  LogCapture(const LogCapture&) = delete;
  LogCapture& operator=(const LogCapture&) = delete;

  /// Whether a line with `part` came, or comes within ten seconds.
  bool wait_for(const std::string& part) {
    std::unique_lock lock(mutex_);
    return added_.wait_for(lock, std::chrono::seconds(10), [&] { return count_locked(part) > 0; });
  }
  size_t count(const std::string& part) {
    const std::lock_guard lock(mutex_);
    return count_locked(part);
  }

 private:
  size_t count_locked(const std::string& part) const {
    size_t found = 0;
    for (const std::string& line : lines_) found += line.find(part) != line.npos ? 1 : 0;
    return found;
  }

  std::mutex mutex_;
  std::condition_variable added_;
  std::vector<std::string> lines_;
};

/// Spins until `condition` holds; false after ten seconds.
inline bool eventually(const std::function<bool()>& condition) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

}  // namespace barnabas::net::testing
