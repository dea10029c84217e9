// Listening and accepting: addresses, limits, and what happens when descriptors run out.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include "client.h"
#include "server_fixture.h"

namespace barnabas::net {
namespace {

using testing::Client;
using testing::eventually;
using testing::LogCapture;
using testing::request_frame;

class AcceptTest : public testing::ServerTest {
 protected:
  static bool answers(Client& client, int32_t id) {
    return client.send(request_frame(id)) && correlation(client.receive_frame()) == id;
  }
};

/// Lowers the limit of descriptors and takes all that are left; gives them back when it dies.
class Descriptors {
 public:
  Descriptors() {
    ::getrlimit(RLIMIT_NOFILE, &before_);
    rlimit low = before_;
    low.rlim_cur = static_cast<rlim_t>(::dup(0)) + 8;
    ::close(static_cast<int>(low.rlim_cur) - 8);
    ::setrlimit(RLIMIT_NOFILE, &low);
    for (int fd = ::open("/dev/null", O_RDONLY); fd >= 0; fd = ::open("/dev/null", O_RDONLY)) {
      taken_.emplace_back(fd);
    }
  }
  ~Descriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }
  Descriptors(const Descriptors&) = delete;
  Descriptors& operator=(const Descriptors&) = delete;

 private:
  rlimit before_{};
  std::vector<UniqueFd> taken_;
};

TEST_F(AcceptTest, OutOfDescriptorsAcceptsPauseAndConnectedClientsLiveOn) {
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
  GTEST_SKIP() << "the sanitizer itself opens pipes to look at memory, and fails without them";
#endif
#endif
  LogCapture logs;
  start();
  Client connected(port);
  ASSERT_TRUE(answers(connected, 1));
  auto late = std::make_unique<Client>();
  {
    const Descriptors none_left;
    ASSERT_TRUE(late->connect(port)) << "the backlog takes it";
    ASSERT_TRUE(late->send(request_frame(7)));
    ASSERT_TRUE(logs.wait_for("accepting pauses"));
    for (int32_t id = 2; id < 50; ++id) ASSERT_TRUE(answers(connected, id));
    EXPECT_EQ(server->stats().connections, 1U);
  }
  EXPECT_EQ(correlation(late->receive_frame()), 7);
  EXPECT_EQ(logs.count("accepting pauses"), 1U) << "once, not at every attempt";
}

TEST_F(AcceptTest, EveryInterfaceMeansBothFamilies) {
  server = Server::create({}, handler, system_clock());
  handler.server = server.get();
  const auto bound = server->listen("", 0);
  ASSERT_TRUE(bound.ok()) << bound.error().message;
  ASSERT_TRUE(server->start().ok());
  Client v4(*bound);
  EXPECT_TRUE(answers(v4, 4));
  Client v6;
  if (v6.connect_v6(*bound)) {
    EXPECT_TRUE(answers(v6, 6));
  }
}

TEST_F(AcceptTest, LocalhostIsReachedOnEachOfItsAddresses) {
  server = Server::create({}, handler, system_clock());
  handler.server = server.get();
  const auto bound = server->listen("localhost", 0);
  ASSERT_TRUE(bound.ok()) << bound.error().message;
  ASSERT_TRUE(server->start().ok());
  Client v4(*bound);
  EXPECT_TRUE(answers(v4, 4));
}

TEST_F(AcceptTest, SeveralListenersAlsoWhileRunning) {
  start();
  const auto second = server->listen("127.0.0.1", 0);
  ASSERT_TRUE(second.ok());
  Client first_client(port);
  Client second_client(*second);
  EXPECT_TRUE(answers(first_client, 1));
  EXPECT_TRUE(answers(second_client, 2));
}

TEST_F(AcceptTest, AClientThatCameBeforeTheStartIsServed) {
  server = Server::create({}, handler, system_clock());
  handler.server = server.get();
  const auto bound = server->listen("127.0.0.1", 0);
  ASSERT_TRUE(bound.ok());
  Client early(*bound);
  ASSERT_TRUE(early.connected());
  early.send(request_frame(3));
  ASSERT_TRUE(server->start().ok());
  EXPECT_EQ(correlation(early.receive_frame()), 3);
}

TEST_F(AcceptTest, AHostThatIsNoneIsNamedInTheError) {
  server = Server::create({}, handler, system_clock());
  const auto bound = server->listen("no-such-host.invalid", 9092);
  ASSERT_FALSE(bound.ok());
  EXPECT_TRUE(bound.error().message.starts_with("cannot listen on no-such-host.invalid:9092: "))
      << bound.error().message;
  const auto foreign = server->listen("192.0.2.1", 9092);
  ASSERT_FALSE(foreign.ok());
  EXPECT_EQ(foreign.error().message,
            "cannot listen on 192.0.2.1:9092: Cannot assign requested address");
}

TEST_F(AcceptTest, ConnectionsBeyondTheLimitWaitUntilOneIsClosedOrItIsRaised) {
  LogCapture logs;
  ServerConfig config;
  config.max_connections = 1;
  start(config);
  auto first = std::make_unique<Client>(port);
  ASSERT_TRUE(answers(*first, 1));
  Client second(port);
  second.send(request_frame(2));
  EXPECT_TRUE(logs.wait_for("max.connections is reached"));
  EXPECT_EQ(server->stats().connections_total, 1U);
  first.reset();
  EXPECT_EQ(correlation(second.receive_frame()), 2);
  Client third(port);
  third.send(request_frame(3));
  config.max_connections = 2;
  server->set_config(config);
  EXPECT_EQ(correlation(third.receive_frame()), 3);
}

TEST_F(AcceptTest, AFloodOfRefusalsDoesNotFloodTheLog) {
  LogCapture logs;
  ServerConfig config;
  config.max_connections_per_ip = 0;
  start(config);
  for (int i = 0; i < 300; ++i) {
    Client client(port);
    EXPECT_TRUE(client.closed_by_server());
  }
  EXPECT_GE(logs.count("max.connections"), 1U);
  EXPECT_LT(logs.count("max.connections"), 150U);
}

TEST_F(AcceptTest, ConnectionsAreSpreadOverTheReactors) {
  ServerConfig config;
  config.reactor_threads = 3;
  start(config);
  EXPECT_EQ(server->reactor_count(), 3U);
  std::vector<std::unique_ptr<Client>> clients;
  for (int32_t i = 0; i < 9; ++i) {
    clients.push_back(std::make_unique<Client>(port));
    clients.back()->send(request_frame(i, "later"));
  }
  std::vector<int> per_reactor(3);
  for (const auto& [token, id] : handler.wait_for(9)) ++per_reactor[token.reactor];
  EXPECT_EQ(per_reactor, (std::vector<int>{3, 3, 3}));
}

}  // namespace
}  // namespace barnabas::net
