// What one client can make the server hold: requests in flight, unsent answers, frames half sent.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <fstream>

#include "client.h"
#include "server_fixture.h"

namespace barnabas::net {
namespace {

using testing::Client;
using testing::EchoHandler;
using testing::eventually;
using testing::request_frame;

class BackpressureTest : public testing::ServerTest {
 protected:
  /// Sends `frame` again and again, reading nothing, until the server has taken nothing for a
  /// while; returns how often it went out.
  static int64_t flood(Client& client, const std::vector<uint8_t>& frame, int64_t give_up_bytes) {
    ::fcntl(client.fd(), F_SETFL, O_NONBLOCK);
    int64_t sent = 0;
    for (int idle = 0; idle < 200 && sent < give_up_bytes;) {
      const auto offset = static_cast<size_t>(sent) % frame.size();
      const ssize_t n =
          ::send(client.fd(), frame.data() + offset, frame.size() - offset, MSG_NOSIGNAL);
      if (n > 0) {
        sent += n;
        idle = 0;
      } else {
        ++idle;
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
    }
    return sent / static_cast<int64_t>(frame.size());
  }
};

TEST_F(BackpressureTest, TinyRequestsWithoutReadingStopAtTheInFlightLimit) {
  ServerConfig config;
  config.max_in_flight_requests = 16;
  config.socket_send_buffer_bytes = 4096;
  config.socket_receive_buffer_bytes = 4096;
  start(config);
  Client client(port, 4096);
  flood(client, request_frame(1), 64 << 20);
  // All answers that the two socket buffers hold, and the limit's worth behind them.
  const int offered = handler.offered.load();
  EXPECT_LT(offered, 100'000);
  Client other(port);
  other.send(request_frame(5));
  EXPECT_EQ(correlation(other.receive_frame()), 5) << "nobody else is disturbed";

  ::fcntl(client.fd(), F_SETFL, 0);
  for (int i = 0; i < offered; ++i) ASSERT_EQ(correlation(client.receive_frame()), 1);
  EXPECT_TRUE(eventually([&] { return handler.offered.load() > offered; })) << "read from again";
}

TEST_F(BackpressureTest, FileRangesThatNobodyReadsStopAtTheInFlightLimit) {
  ServerConfig config;
  config.max_in_flight_requests = 4;
  start(config);
  char path[] = "/tmp/barnabas-net-XXXXXX";
  auto file = std::make_shared<const UniqueFd>(::mkstemp(path));
  ::unlink(path);
  ASSERT_EQ(::ftruncate(file->get(), 64 << 20), 0);
  Client client(port, 4096);
  for (int32_t i = 0; i < 40; ++i) client.send(request_frame(i, "later"));
  for (size_t answered = 0; answered < 4; ++answered) {
    const auto waiting = handler.wait_for(answered + 1);
    Response response = EchoHandler::echo(waiting[answered].second, "");
    response.chunks.emplace_back(FileSlice{file, 0, 64 << 20});
    server->respond(waiting[answered].first, std::move(response));
  }
  Client other(port);
  other.send(request_frame(5));
  EXPECT_EQ(correlation(other.receive_frame()), 5);
  EXPECT_EQ(handler.offered.load(), 5) << "the four unsent answers hold back the fifth request";
}

TEST_F(BackpressureTest, AMegabyteClaimedAndNotSentCostsNothing) {
  start();
  const auto resident_kib = [] {
    std::ifstream status("/proc/self/status");
    for (std::string word; status >> word;) {
      if (word == "VmRSS:") {
        int64_t kib = 0;
        status >> kib;
        return kib;
      }
    }
    return int64_t{0};
  };
  std::vector<uint8_t> claim = request_frame(1);
  store_be<int32_t>(claim.data(), 90 << 20);
  Client warm_up(port);
  const int64_t before = resident_kib();
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 200; ++i) {
    clients.push_back(std::make_unique<Client>(port));
    clients.back()->send(claim);
  }
  ASSERT_TRUE(eventually([&] { return server->stats().bytes_in >= 200 * claim.size(); }));
  EXPECT_LT(resident_kib() - before, 20 << 10);
}

TEST_F(BackpressureTest, FramesHalfSentStopAtTheMemoryForAllAndOneAfterTheOtherIsRead) {
  ServerConfig config;
  config.queued_max_request_bytes = 4 << 20;
  start(config);
  constexpr size_t kFrameBytes = 3 << 20;
  const auto frame = request_frame(1, std::string(kFrameBytes, 'x'));
  std::vector<std::unique_ptr<Client>> clients;
  std::vector<std::thread> senders;
  for (int i = 0; i < 8; ++i) {
    clients.push_back(std::make_unique<Client>(port));
    clients.back()->send(ByteView(frame).first(frame.size() / 4));
  }
  std::atomic<bool> go{false};
  for (auto& client : clients) {
    senders.emplace_back([&] {
      client->send(ByteView(frame).subspan(frame.size() / 4, frame.size() / 2));
      while (!go) std::this_thread::sleep_for(std::chrono::milliseconds(1));
      client->send(ByteView(frame).subspan(frame.size() / 4 + frame.size() / 2));
      EXPECT_EQ(correlation(client->receive_frame()), 1);
    });
  }
  ASSERT_TRUE(eventually([&] { return server->stats().request_bytes >= 4 << 20; }));
  Client small(port);
  small.send(request_frame(7, std::string(10'000, 'y')));
  EXPECT_EQ(correlation(small.receive_frame()), 7) << "small requests do not wait";
  // The limit, one frame beyond it, and a step of growth of each reactor.
  EXPECT_LE(server->stats().request_bytes, (4 << 20) + 4 * static_cast<int64_t>(kFrameBytes));
  go = true;
  for (std::thread& sender : senders) sender.join();
  EXPECT_TRUE(eventually([&] { return server->stats().request_bytes == 0; }));
}

TEST_F(BackpressureTest, AFrameHalfSentGivesItsMemoryBackWithItsConnection) {
  ServerConfig config;
  config.queued_max_request_bytes = 1 << 20;
  start(config);
  const auto frame = request_frame(1, std::string(2 << 20, 'x'));
  auto first = std::make_unique<Client>(port);
  first->send(ByteView(frame).first(frame.size() - 1));  // more than there is: it overdraws
  Client second(port);
  std::thread sender([&] {
    second.send(frame);
    EXPECT_EQ(correlation(second.receive_frame()), 1);
  });
  ASSERT_TRUE(eventually([&] { return server->stats().request_bytes >= 2 << 20; }));
  first.reset();
  sender.join();
}

TEST_F(BackpressureTest, ManyPausedConnectionsAreAllOfferedAgain) {
  start();
  handler.busy = true;
  std::vector<std::unique_ptr<Client>> clients;
  for (int32_t i = 0; i < 20; ++i) {
    clients.push_back(std::make_unique<Client>(port));
    clients.back()->send(request_frame(i, "a"));
    clients.back()->send(request_frame(100 + i, std::string(100'000, 'b')));
  }
  ASSERT_TRUE(eventually([&] { return handler.offered.load() >= 20; }));
  for (int i = 0; i < 1000; ++i) server->resume_paused();  // still busy: they pause again
  clients.pop_back();                                      // one of them gives up meanwhile
  handler.busy = false;
  server->resume_paused();
  for (int32_t i = 0; i < 19; ++i) {
    EXPECT_EQ(correlation(clients[static_cast<size_t>(i)]->receive_frame()), i);
    EXPECT_EQ(correlation(clients[static_cast<size_t>(i)]->receive_frame()), 100 + i);
  }
}

TEST_F(BackpressureTest, NothingBehindACloseIsOffered) {
  start();
  Client client(port);
  std::vector<uint8_t> all = request_frame(1, "close");
  for (int32_t i = 2; i < 50; ++i) {
    const auto next = request_frame(i);
    all.insert(all.end(), next.begin(), next.end());
  }
  client.send(all);
  EXPECT_TRUE(client.closed_by_server());
  EXPECT_EQ(handler.offered.load(), 1);
}

TEST_F(BackpressureTest, FramesOfEverySizeArriveUnchanged) {
  start();
  Client client(port);
  std::vector<size_t> sizes;
  for (size_t size = 1; size < (4 << 20); size = size * 3 + 1) sizes.push_back(size);
  std::thread sender([&] {
    for (size_t i = 0; i < sizes.size(); ++i) {
      client.send(request_frame(static_cast<int32_t>(i),
                                std::string(sizes[i], static_cast<char>('a' + i % 26))));
    }
  });
  for (size_t i = 0; i < sizes.size(); ++i) {
    const auto answer = client.receive_frame();
    ASSERT_EQ(answer.size(), sizes[i] + 4);
    EXPECT_EQ(correlation(answer), static_cast<int32_t>(i));
    EXPECT_TRUE(std::all_of(answer.begin() + 4, answer.end(),
                            [&](uint8_t byte) { return byte == 'a' + i % 26; }));
  }
  sender.join();
}

}  // namespace
}  // namespace barnabas::net
