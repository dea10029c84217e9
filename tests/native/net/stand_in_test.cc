// A reactor whose thread is stuck in a handler is run by another until it comes back.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "net/blocking_scope.h"
#include "server_fixture.h"

namespace barnabas::net {
namespace {

using testing::Client;
using testing::request_frame;

/// "stuck <name>" waits until it is let go, then is answered; "alone" is answered by
/// answer_alone(); all else is echoed. A resource that is waited for is busy.
class StuckHandler final : public testing::EchoHandler {
 public:
  Admission on_request(const Request& request) override {
    const std::string body(as_text(request.body));
    if (body == "alone") {
      const std::lock_guard lock(mutex_);
      alone_ = {request.token, echo(request.correlation_id, body)};
      ++entered_[body];
      changed_.notify_all();
      return Admission::kTakenAlone;
    }
    if (!body.starts_with("stuck ")) return EchoHandler::on_request(request);
    const size_t resource = static_cast<size_t>(body.back() - 'a');
    if (displaced[resource] > 0) return Admission::kBusy;
    {
      const BlockingScope scope(&displaced[resource]);
      std::unique_lock lock(mutex_);
      ++entered_[body];
      changed_.notify_all();
      changed_.wait(lock, [&] { return free_[resource]; });
    }
    EXPECT_EQ(as_text(request.body), body);  // nobody wrote over what is in service
    server->respond(request.token, echo(request.correlation_id, body));
    return Admission::kTaken;
  }
  void on_displaced(uint32_t, const void* resource) override { ++count_of(resource); }
  void on_returned(const void* resource) override {
    if (--count_of(resource) == 0) server->resume_paused();
  }
  void await_stuck(const std::string& body, int times = 1) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return entered_[body] >= times; });
  }
  void answer_alone() {
    await_stuck("alone");
    server->respond(alone_.first, std::move(alone_.second));
  }
  void let_go(size_t resource, bool now = true) {
    const std::lock_guard lock(mutex_);
    free_[resource] = now;
    changed_.notify_all();
  }

  std::array<std::atomic<int>, 3> displaced{};

 private:
  std::atomic<int>& count_of(const void* resource) {
    return *std::find_if(displaced.begin(), displaced.end(),
                         [&](const auto& count) { return &count == resource; });
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, int> entered_;
  std::array<bool, 3> free_{};
  std::pair<RequestToken, Response> alone_;
};

class StandInTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ServerConfig config;
    config.reactor_threads = 1;
    server_ = Server::create(config, handler_, system_clock());
    handler_.server = server_.get();
    auto bound = server_->listen("127.0.0.1", 0);
    ASSERT_TRUE(bound.ok());
    port_ = *bound;
    ASSERT_TRUE(server_->start().ok());
  }
  void TearDown() override {
    for (size_t resource = 0; resource < 3; ++resource) handler_.let_go(resource);
    server_.reset();
  }
  static std::string ask(Client& client, int32_t id, const std::string& body) {
    EXPECT_TRUE(client.send(request_frame(id, body)));
    return answer(client);
  }
  static std::string answer(Client& client) {
    const auto frame = client.receive_frame();
    return frame.size() < 4 ? "none" : std::string(frame.begin() + 4, frame.end());
  }

  StuckHandler handler_;
  std::unique_ptr<Server> server_;
  uint16_t port_ = 0;
};

TEST_F(StandInTest, others_are_served_while_one_request_is_stuck) {
  Client stuck(port_);
  Client before(port_);
  EXPECT_EQ(ask(before, 1, "a"), "a");
  ASSERT_TRUE(stuck.send(request_frame(1, "stuck a")));
  ASSERT_TRUE(stuck.send(request_frame(2, "behind")));
  handler_.await_stuck("stuck a");
  Client during(port_);
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(ask(before, i + 2, std::string(10'000, 'x')), std::string(10'000, 'x'));
    EXPECT_EQ(ask(during, i + 1, "y"), "y");
  }
  handler_.let_go(0);
  EXPECT_EQ(answer(stuck), "stuck a");
  EXPECT_EQ(answer(stuck), "behind");
  EXPECT_EQ(ask(before, 200, "again"), "again");
}

TEST_F(StandInTest, a_request_is_answered_that_was_stuck_once_an_answer_made_room_for_it) {
  Client stuck(port_);
  Client other(port_);
  std::vector<uint8_t> both = request_frame(1, "alone");
  const std::vector<uint8_t> second = request_frame(2, "stuck a");
  both.insert(both.end(), second.begin(), second.end());
  ASSERT_TRUE(stuck.send(both));
  handler_.answer_alone();
  EXPECT_EQ(answer(stuck), "alone");
  ASSERT_TRUE(testing::eventually([&] { return handler_.displaced[0] == 1; }));
  EXPECT_EQ(ask(other, 1, "x"), "x");
  handler_.let_go(0);
  EXPECT_EQ(answer(stuck), "stuck a");
  EXPECT_EQ(ask(stuck, 3, "x"), "x");
}

TEST_F(StandInTest, threads_that_are_stuck_come_back_in_any_order) {
  for (const bool first_first : {true, false}) {
    Client a(port_);
    Client b(port_);
    Client other(port_);
    ASSERT_TRUE(a.send(request_frame(1, "stuck a")));
    const int times = first_first ? 1 : 2;
    handler_.await_stuck("stuck a", times);
    ASSERT_TRUE(b.send(request_frame(1, "stuck b")));
    handler_.await_stuck("stuck b", times);
    EXPECT_EQ(ask(other, 1, "x"), "x");
    handler_.let_go(first_first ? 0 : 1);
    EXPECT_EQ(answer(first_first ? a : b), first_first ? "stuck a" : "stuck b");
    EXPECT_EQ(ask(other, 2, "x"), "x");
    handler_.let_go(first_first ? 1 : 0);
    EXPECT_EQ(answer(first_first ? b : a), first_first ? "stuck b" : "stuck a");
    EXPECT_EQ(ask(other, 3, "x"), "x");
    handler_.let_go(0, false);
    handler_.let_go(1, false);
  }
}

TEST_F(StandInTest, many_that_want_what_is_stuck_wait_without_a_thread) {
  std::vector<std::unique_ptr<Client>> clients;
  clients.push_back(std::make_unique<Client>(port_));
  ASSERT_TRUE(clients[0]->send(request_frame(1, "stuck a")));
  ASSERT_TRUE(testing::eventually([&] { return handler_.displaced[0] == 1; }));
  for (int i = 1; i < 64; ++i) {
    clients.push_back(std::make_unique<Client>(port_));
    ASSERT_TRUE(clients.back()->send(request_frame(1, "stuck a")));
  }
  Client other(port_);
  for (int i = 1; i < 20; ++i) EXPECT_EQ(ask(other, i, "x"), "x");
  EXPECT_EQ(handler_.displaced[0], 1);
  handler_.let_go(0);
  for (auto& client : clients) EXPECT_EQ(answer(*client), "stuck a");
}

TEST_F(StandInTest, a_client_that_leaves_while_its_request_is_stuck_is_closed) {
  Client other(port_);
  {
    Client stuck(port_);
    ASSERT_TRUE(stuck.send(request_frame(1, "stuck a")));
    ASSERT_TRUE(stuck.send(request_frame(2, "more")));
    ASSERT_TRUE(testing::eventually([&] { return handler_.displaced[0] == 1; }));
    stuck.reset();
  }
  EXPECT_TRUE(testing::eventually([&] { return server_->stats().connections == 1; }));
  EXPECT_EQ(ask(other, 1, "x"), "x");
  handler_.let_go(0);
  EXPECT_TRUE(testing::eventually([&] { return handler_.displaced[0] == 0; }));
  EXPECT_EQ(ask(other, 2, "x"), "x");
}

TEST_F(StandInTest, a_server_that_stops_waits_for_what_is_stuck_and_closes_the_others) {
  Client stuck(port_);
  Client other(port_);
  ASSERT_TRUE(stuck.send(request_frame(1, "stuck a")));
  ASSERT_TRUE(testing::eventually([&] { return handler_.displaced[0] == 1; }));
  EXPECT_EQ(ask(other, 1, "x"), "x");
  std::thread stopping([&] { server_->stop(100); });
  EXPECT_TRUE(other.closed_by_server());
  handler_.let_go(0);
  stopping.join();
  EXPECT_TRUE(stuck.closed_by_server());
}

TEST_F(StandInTest, stuck_now_and_then_under_load_loses_no_answer) {
  std::vector<std::thread> threads;
  std::atomic<bool> over{false};
  threads.reserve(5);
  for (int number = 0; number < 4; ++number) {
    threads.emplace_back([&, number] {
      Client client(port_);
      const std::string stuck = std::string("stuck ") + static_cast<char>('a' + number % 2);
      for (int i = 1; i <= 60; ++i) {
        EXPECT_EQ(ask(client, i, i % 3 == 0 ? stuck : "x"), i % 3 == 0 ? stuck : "x");
      }
    });
  }
  threads.emplace_back([&] {
    for (size_t i = 0; !over; ++i) {
      handler_.let_go(i % 2);
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
      handler_.let_go(i % 2, false);
      std::this_thread::sleep_for(std::chrono::milliseconds(i % 40));
    }
  });
  for (size_t i = 0; i < 4; ++i) threads[i].join();
  over = true;
  threads[4].join();
}

}  // namespace
}  // namespace barnabas::net
