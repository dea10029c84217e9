// The server over real loopback sockets, with handlers that answer at once, late, or not.
#include "net/server.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <thread>

#include "client.h"
#include "server_fixture.h"

namespace barnabas::net {
namespace {

using testing::Client;
using testing::EchoHandler;
using testing::ManualClock;
using testing::request_frame;
using testing::ServerTest;

TEST_F(ServerTest, AnswersPipelinedRequestsInOrder) {
  start();
  Client client(port);
  std::vector<uint8_t> all;
  for (int32_t i = 0; i < 500; ++i) {
    const auto frame = request_frame(i, "x");
    all.insert(all.end(), frame.begin(), frame.end());
  }
  std::thread sender([&] { client.send(all); });
  for (int32_t i = 0; i < 500; ++i) ASSERT_EQ(correlation(client.receive_frame()), i);
  sender.join();
}

TEST_F(ServerTest, AnswersLeaveInRequestOrderWhateverOrderTheyFinishIn) {
  start();
  Client client(port);
  for (int32_t i = 0; i < 3; ++i) client.send(request_frame(i, "later"));
  client.send(request_frame(3, "now"));
  const auto waiting = handler.wait_for(3);
  for (size_t i = 3; i-- > 0;) {
    server->respond(waiting[i].first, EchoHandler::echo(waiting[i].second, ""));
  }
  for (int32_t i = 0; i < 4; ++i) EXPECT_EQ(correlation(client.receive_frame()), i);
}

TEST_F(ServerTest, FramesArrivingByteByByteAreUnderstood) {
  start();
  Client client(port);
  for (int round = 0; round < 2; ++round) {
    for (const uint8_t byte : request_frame(7, "slow")) client.send({&byte, 1});
    EXPECT_EQ(correlation(client.receive_frame()), 7);
  }
}

TEST_F(ServerTest, ALargeFrameIsReceivedWhole) {
  start();
  Client client(port);
  const std::string body(5 << 20, 'b');
  std::thread sender([&] { client.send(request_frame(1, body)); });
  const auto answer = client.receive_frame();
  sender.join();
  ASSERT_EQ(answer.size(), body.size() + 4);
  EXPECT_EQ(as_text(ByteView(answer).subspan(4)), body);
}

TEST_F(ServerTest, ImpossibleLengthsCloseTheConnectionAndNoOther) {
  start();
  Client bystander(port);
  for (const int32_t length : {-1, 0, 9, INT32_MIN, INT32_MAX}) {
    Client client(port);
    std::vector<uint8_t> bytes;
    testing::put_be32(bytes, length);
    client.send(bytes);
    EXPECT_TRUE(client.closed_by_server()) << length;
  }
  bystander.send(request_frame(5));
  EXPECT_EQ(correlation(bystander.receive_frame()), 5);
}

TEST_F(ServerTest, OtherProtocolsAreClosedAtOnce) {
  start();
  for (const std::string& hello : {std::string("GET / HTTP/1.1\r\n\r\n"),
                                   std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc", 9)}) {
    Client client(port);
    client.send(as_bytes(hello));
    EXPECT_TRUE(client.closed_by_server());
  }
}

TEST_F(ServerTest, AClientIdLongerThanItsFrameClosesTheConnection) {
  start();
  Client client(port);
  auto frame = request_frame(1, "body");
  store_be<int16_t>(frame.data() + 12, 500);
  client.send(frame);
  EXPECT_TRUE(client.closed_by_server());
}

TEST_F(ServerTest, NoAnswerKeepsTheOrderOfWhatFollows) {
  start();
  Client client(port);
  client.send(request_frame(1, "none"));
  client.send(request_frame(2, "next"));
  EXPECT_EQ(correlation(client.receive_frame()), 2);
}

TEST_F(ServerTest, CloseSendsWhatWasAnsweredBefore) {
  start();
  Client client(port);
  client.send(request_frame(1, "first"));
  client.send(request_frame(2, "close"));
  EXPECT_EQ(correlation(client.receive_frame()), 1);
  EXPECT_TRUE(client.closed_by_server());
}

TEST_F(ServerTest, RejectedRequestsCloseTheConnection) {
  start();
  Client client(port);
  client.send(request_frame(1, "reject"));
  EXPECT_TRUE(client.closed_by_server());
}

TEST_F(ServerTest, ABusyHandlerIsOfferedTheSameRequestAgain) {
  start();
  handler.busy = true;
  Client client(port);
  client.send(request_frame(1, "a"));
  client.send(request_frame(2, "b"));
  while (handler.offered.load() == 0) std::this_thread::yield();
  handler.busy = false;
  server->resume_paused();
  EXPECT_EQ(correlation(client.receive_frame()), 1);
  EXPECT_EQ(correlation(client.receive_frame()), 2);
}

TEST_F(ServerTest, NoRequestOvertakesOneThatWasTakenAlone) {
  start({.reactor_threads = 1});
  Client client(port);
  Client other(port);
  std::vector<uint8_t> frames;
  for (const auto& frame : {request_frame(1, "alone"), request_frame(2), request_frame(3, "alone"),
                            request_frame(4, "alone at once"), request_frame(5)}) {
    frames.insert(frames.end(), frame.begin(), frame.end());
  }
  client.send(frames);
  const auto first = handler.wait_for(1);
  EXPECT_EQ(handler.offered, 1);
  other.send(request_frame(9));
  EXPECT_EQ(correlation(other.receive_frame()), 9) << "nobody else waits";
  client.send(request_frame(6));  // arrives while the first is alone
  other.send(request_frame(10));
  EXPECT_EQ(correlation(other.receive_frame()), 10);
  EXPECT_EQ(handler.offered, 3);

  server->respond(first[0].first, EchoHandler::echo(1, ""));
  EXPECT_EQ(correlation(client.receive_frame()), 1);
  EXPECT_EQ(correlation(client.receive_frame()), 2);
  const auto second = handler.wait_for(2);
  EXPECT_EQ(handler.offered, 5);
  server->respond(second[1].first, EchoHandler::echo(3, ""));
  for (const int32_t id : {3, 4, 5, 6}) EXPECT_EQ(correlation(client.receive_frame()), id);
}

TEST_F(ServerTest, RequestsBeyondTheInFlightLimitWait) {
  ServerConfig config;
  config.max_in_flight_requests = 2;
  start(config);
  Client client(port);
  for (int32_t i = 0; i < 4; ++i) client.send(request_frame(i, "later"));
  const auto first = handler.wait_for(2);
  EXPECT_EQ(handler.offered.load(), 2);
  for (const auto& [token, id] : first) server->respond(token, EchoHandler::echo(id, ""));
  const auto all = handler.wait_for(4);
  for (size_t i = 2; i < 4; ++i) {
    server->respond(all[i].first, EchoHandler::echo(all[i].second, ""));
  }
  for (int32_t i = 0; i < 4; ++i) EXPECT_EQ(correlation(client.receive_frame()), i);
}

TEST_F(ServerTest, AClientThatNeverReadsIsNotReadFromForEver) {
  ServerConfig config;
  config.max_unsent_bytes = 1 << 20;
  start(config);
  Client client(port, 4096);
  ::fcntl(client.fd(), F_SETFL, O_NONBLOCK);
  const auto frame = request_frame(1, std::string(64 << 10, 'x'));
  // Sends until the server has taken nothing for a while: its and our socket buffers are full.
  int64_t sent = 0;
  for (int idle = 0; idle < 200;) {
    const ssize_t n = ::send(client.fd(), frame.data() + sent % frame.size(),
                             frame.size() - static_cast<size_t>(sent) % frame.size(), MSG_NOSIGNAL);
    if (n > 0) {
      sent += n;
      idle = 0;
      ASSERT_LT(sent, 64 << 20) << "the server takes requests without end";
    } else {
      ++idle;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }
}

TEST_F(ServerTest, FileRangesLargerThanTheSocketBufferArriveWhole) {
  start();
  char path[] = "/tmp/barnabas-net-XXXXXX";
  auto file = std::make_shared<const UniqueFd>(::mkstemp(path));
  ::unlink(path);
  std::vector<uint8_t> content(3 << 20);
  for (size_t i = 0; i < content.size(); ++i) content[i] = static_cast<uint8_t>(i * 31 >> 3);
  ASSERT_TRUE(write_all_at(file->get(), content, 0, path).ok());

  Client client(port);
  client.send(request_frame(1, "later"));
  const auto waiting = handler.wait_for(1);
  Response response = EchoHandler::echo(1, "head");
  response.chunks.emplace_back(FileSlice{file, 100, 2 << 20});
  response.chunks.emplace_back(Bytes{'m', 'i', 'd'});
  response.chunks.emplace_back(FileSlice{file, 0, 10});
  server->respond(waiting[0].first, std::move(response));

  const auto answer = client.receive_frame();
  ASSERT_EQ(answer.size(), 8U + (2 << 20) + 3 + 10);
  EXPECT_TRUE(
      std::equal(answer.begin() + 8, answer.begin() + 8 + (2 << 20), content.begin() + 100));
  EXPECT_EQ(as_text(ByteView(answer).subspan(8 + (2 << 20), 3)), "mid");
  EXPECT_TRUE(std::equal(answer.end() - 10, answer.end(), content.begin()));
}

TEST_F(ServerTest, AFileShorterThanItsRangeClosesTheConnection) {
  start();
  char path[] = "/tmp/barnabas-net-XXXXXX";
  auto file = std::make_shared<const UniqueFd>(::mkstemp(path));
  ::unlink(path);
  Client client(port);
  client.send(request_frame(1, "later"));
  Response response = EchoHandler::echo(1, "");
  response.chunks.emplace_back(FileSlice{file, 0, 100});
  server->respond(handler.wait_for(1)[0].first, std::move(response));
  client.receive(8);
  EXPECT_TRUE(client.closed_by_server());
}

TEST_F(ServerTest, ConnectionsBeyondTheLimitPerAddressAreClosed) {
  ServerConfig config;
  config.max_connections_per_ip = 2;
  start(config);
  Client first(port);
  first.send(request_frame(1));
  first.receive_frame();
  {
    Client second(port);
    second.send(request_frame(1));
    second.receive_frame();
    Client third(port);
    EXPECT_TRUE(third.closed_by_server());
  }
  while (server->stats().connections > 1) std::this_thread::yield();
  Client again(port);
  again.send(request_frame(9));
  EXPECT_EQ(correlation(again.receive_frame()), 9);
}

TEST_F(ServerTest, IdleConnectionsAreClosedAndWaitingOnesAreNot) {
  ManualClock clock;
  ServerConfig config;
  config.connections_max_idle_ms = 60'000;
  start(config, clock);
  Client idle(port);
  Client waiting(port);
  waiting.send(request_frame(4, "later"));
  const auto parked = handler.wait_for(1);
  clock.skipped_ns = 61'000'000'000;
  server->post(0, [] {});  // the reactors look at the clock when they wake
  server->post(1, [] {});
  EXPECT_TRUE(idle.closed_by_server());
  server->respond(parked[0].first, EchoHandler::echo(4, ""));
  EXPECT_EQ(correlation(waiting.receive_frame()), 4);
  server.reset();  // before the clock
}

TEST_F(ServerTest, StopSendsWhatIsAnsweredWithinTheGrace) {
  start();
  Client client(port);
  client.send(request_frame(1, "later"));
  const auto parked = handler.wait_for(1);
  std::thread stopper([&] { server->stop(10'000); });
  server->respond(parked[0].first, EchoHandler::echo(1, ""));
  EXPECT_EQ(correlation(client.receive_frame()), 1);
  EXPECT_TRUE(client.closed_by_server());
  stopper.join();
  server->stop();
  server->respond(parked[0].first, EchoHandler::echo(1, ""));  // ignored
}

TEST_F(ServerTest, APortInUseIsNamedInTheError) {
  start();
  auto other = Server::create({}, handler, system_clock());
  const auto bound = other->listen("127.0.0.1", port);
  ASSERT_FALSE(bound.ok());
  EXPECT_EQ(bound.error().message,
            "cannot listen on 127.0.0.1:" + std::to_string(port) + ": Address already in use");
}

}  // namespace
}  // namespace barnabas::net
