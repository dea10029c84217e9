// Connections that die at awkward moments, timers, idle peers, and the stop.
#include <gtest/gtest.h>

#include <future>
#include <random>

#include "client.h"
#include "server_fixture.h"

namespace barnabas::net {
namespace {

using testing::Client;
using testing::EchoHandler;
using testing::eventually;
using testing::LogCapture;
using testing::ManualClock;
using testing::request_frame;

class LifetimeTest : public testing::ServerTest {
 protected:
  void wake_reactors() {
    for (uint32_t i = 0; i < server->reactor_count(); ++i) server->post(i, [] {});
  }
};

TEST_F(LifetimeTest, AnAnswerToADeadConnectionIsIgnoredAlsoWhenItsSlotIsUsedAgain) {
  ServerConfig config;
  config.reactor_threads = 1;
  start(config);
  auto dying = std::make_unique<Client>(port);
  dying->send(request_frame(1, "later"));
  const RequestToken old = handler.wait_for(1)[0].first;
  dying.reset();
  ASSERT_TRUE(eventually([&] { return server->stats().connections == 0; }));
  Client next(port);
  next.send(request_frame(2, "later"));
  const auto waiting = handler.wait_for(2);
  ASSERT_EQ(waiting[1].first.connection, old.connection) << "the slot is used again";
  server->respond(old, EchoHandler::echo(1, "for the dead"));
  server->respond(waiting[1].first, EchoHandler::echo(2, "for the living"));
  EXPECT_EQ(correlation(next.receive_frame()), 2);
}

TEST_F(LifetimeTest, InventedTokensAreIgnored) {
  start();
  for (const RequestToken token : {RequestToken{9, 0, 0, 0}, RequestToken{0, 99999, 0, 0},
                                   RequestToken{1, 0, 77, 0}, RequestToken{0, 0, 0, 12345}}) {
    server->respond(token, EchoHandler::echo(1, "x"));
  }
  Client client(port);
  client.send(request_frame(3));
  EXPECT_EQ(correlation(client.receive_frame()), 3);
}

TEST_F(LifetimeTest, ClientsThatResetAmidAnswersFromOtherThreadsDisturbNobody) {
  start();
  std::atomic<bool> done{false};
  std::thread responder([&] {
    size_t answered = 0;
    while (!done.load()) {
      std::vector<std::pair<RequestToken, int32_t>> batch;
      {
        const std::lock_guard lock(handler.mutex);
        batch.assign(handler.waiting.begin() + static_cast<std::ptrdiff_t>(answered),
                     handler.waiting.end());
        answered = handler.waiting.size();
      }
      for (const auto& [token, id] : batch) server->respond(token, EchoHandler::echo(id, "y"));
      std::this_thread::yield();
    }
  });
  std::mt19937 random(3);
  Client steady(port);
  for (int32_t round = 0; round < 200; ++round) {
    Client fickle(port);
    for (int32_t i = 0; i < 5; ++i) fickle.send(request_frame(i, i % 2 == 0 ? "later" : "now"));
    if (random() % 2 == 0) fickle.receive_frame();
    fickle.reset();
    steady.send(request_frame(round, "later"));
    ASSERT_EQ(correlation(steady.receive_frame()), round);
  }
  done = true;
  responder.join();
  EXPECT_TRUE(eventually([&] { return server->stats().connections == 1; }));
}

TEST_F(LifetimeTest, TimersRunOnTheirReactorAndCancelledOnesDoNot) {
  ManualClock clock;
  start({}, clock);
  std::promise<std::optional<uint32_t>> ran;
  std::atomic<bool> cancelled_ran{false};
  server->post(1, [&] {
    const int64_t soon = clock.monotonic_ns() + 3'600'000'000'000;
    const TimerId cancelled = server->add_timer(1, soon, [&] { cancelled_ran = true; });
    server->add_timer(1, soon, [&] { ran.set_value(server->current_reactor()); });
    server->cancel_timer(1, cancelled);
    clock.skipped_ns = 3'600'000'000'000;
  });
  EXPECT_EQ(ran.get_future().get(), 1U);
  EXPECT_FALSE(cancelled_ran.load());
  EXPECT_EQ(server->current_reactor(), std::nullopt);
  server.reset();
}

TEST_F(LifetimeTest, AFrameHalfSentIsReapedAtTheIdleLimit) {
  LogCapture logs;
  ManualClock clock;
  ServerConfig config;
  config.connections_max_idle_ms = 60'000;
  start(config, clock);
  Client loris(port);
  const auto frame = request_frame(1, "never whole");
  loris.send(ByteView(frame).first(frame.size() - 1));
  ASSERT_TRUE(eventually([&] { return server->stats().bytes_in >= frame.size() - 1; }));
  clock.skipped_ns = 61'000'000'000;
  wake_reactors();
  EXPECT_TRUE(loris.closed_by_server());
  EXPECT_TRUE(logs.wait_for("connections.max.idle.ms"));
  server.reset();
}

TEST_F(LifetimeTest, AFrameThatArrivesByteByByteIsReapedAtTheIdleLimitOfItsFirstByte) {
  LogCapture logs;
  ManualClock clock;
  ServerConfig config;
  config.connections_max_idle_ms = 60'000;
  start(config, clock);
  Client loris(port);
  loris.send(request_frame(1));
  EXPECT_EQ(correlation(loris.receive_frame()), 1);
  const auto frame = request_frame(2, "never whole");
  const uint64_t before = server->stats().bytes_in;
  for (uint64_t sent = 0; sent < 6; ++sent) {
    loris.send(ByteView(frame).subspan(sent, 1));
    ASSERT_TRUE(eventually([&] { return server->stats().bytes_in > before + sent; }));
    clock.skipped_ns += 9'000'000'000;
    wake_reactors();
  }
  clock.skipped_ns += 9'000'000'000;
  wake_reactors();
  EXPECT_TRUE(loris.closed_by_server());
  EXPECT_TRUE(logs.wait_for("takes longer than connections.max.idle.ms to arrive"));
  server.reset();
}

TEST_F(LifetimeTest, AClientThatStopsReadingIsReapedAtTheIdleLimit) {
  ManualClock clock;
  ServerConfig config;
  config.connections_max_idle_ms = 60'000;
  start(config, clock);
  Client deaf(port, 4096);
  deaf.send(request_frame(1, std::string(8 << 20, 'x')));
  uint64_t last = 0;
  ASSERT_TRUE(eventually([&] {  // until both socket buffers are full
    const uint64_t now = server->stats().bytes_out;
    return now > 0 && std::exchange(last, now) == now;
  }));
  clock.skipped_ns = 61'000'000'000;
  wake_reactors();
  EXPECT_TRUE(eventually([&] { return server->stats().connections == 0; }));
  server.reset();
}

TEST_F(LifetimeTest, ABusyServerDoesNotCallItsClientIdle) {
  ManualClock clock;
  ServerConfig config;
  config.connections_max_idle_ms = 60'000;
  start(config, clock);
  handler.busy = true;
  Client client(port);
  client.send(request_frame(1));
  ASSERT_TRUE(eventually([&] { return handler.offered.load() == 1; }));
  clock.skipped_ns = 61'000'000'000;
  wake_reactors();
  handler.busy = false;
  server->resume_paused();
  EXPECT_EQ(correlation(client.receive_frame()), 1);
  server.reset();
}

TEST_F(LifetimeTest, StopWithoutGraceDoesNotWaitForParkedRequests) {
  start();
  Client client(port);
  client.send(request_frame(1, "later"));
  handler.wait_for(1);
  server->stop(0);
  EXPECT_TRUE(client.closed_by_server());
  EXPECT_EQ(server->stats().connections, 0U);
}

TEST_F(LifetimeTest, StopDeliversALargeAnswerThatIsHalfOut) {
  start();
  Client client(port, 4096);
  const std::string body(6 << 20, 'z');
  std::thread sender([&] { client.send(request_frame(1, body)); });
  ASSERT_TRUE(eventually([&] { return server->stats().bytes_out > 0; }));
  sender.join();
  std::thread stopper([&] { server->stop(10'000); });
  EXPECT_EQ(client.receive_frame().size(), body.size() + 4);
  stopper.join();
}

TEST_F(LifetimeTest, AfterTheStopNothingIsDoneAndNothingBreaks) {
  start();
  Client client(port);
  client.send(request_frame(1, "later"));
  const auto waiting = handler.wait_for(1);
  server->stop();
  server->stop(1000);
  bool ran = false;
  server->respond(waiting[0].first, EchoHandler::echo(1, ""));
  server->post(0, [&] { ran = true; });
  server->resume_paused();
  EXPECT_FALSE(server->start().ok());
  EXPECT_FALSE(server->listen("127.0.0.1", 0).ok());
  EXPECT_FALSE(ran);
}

TEST_F(LifetimeTest, AServerThatNeverStartedStops) {
  server = Server::create({}, handler, system_clock());
  ASSERT_TRUE(server->listen("127.0.0.1", 0).ok());
  server->stop(1000);
}

TEST_F(LifetimeTest, AFloodOfBadClientsDoesNotFloodTheLog) {
  LogCapture logs;
  ServerConfig config;
  config.reactor_threads = 1;
  start(config);
  for (int i = 0; i < 300; ++i) {
    Client client(port);
    client.send(as_bytes("GET / HTTP/1.1\r\n"));
    ASSERT_TRUE(client.closed_by_server());
  }
  EXPECT_GE(logs.count("HTTP on the Kafka port"), 1U);
  EXPECT_LT(logs.count("HTTP on the Kafka port"), 150U);
}

}  // namespace
}  // namespace barnabas::net
