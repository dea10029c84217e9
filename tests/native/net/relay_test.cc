// A loop whose thread is stuck, and one whose thread is only busy, as the watchdog sees them.
#include "net/relay.h"

#include <gtest/gtest.h>
#include <pthread.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

#include "net/watchdog.h"

namespace barnabas::net {
namespace {

/// While it lives the system has no memory for the stack of a new thread.
class NoMoreThreads {
 public:
  NoMoreThreads() {
    pthread_getattr_default_np(&before_);
    pthread_attr_t huge;
    pthread_attr_init(&huge);
    pthread_attr_setstacksize(&huge, size_t{1} << 46);
    pthread_setattr_default_np(&huge);
    pthread_attr_destroy(&huge);
  }
  ~NoMoreThreads() {
    pthread_setattr_default_np(&before_);
    pthread_attr_destroy(&before_);
  }
  NoMoreThreads(const NoMoreThreads&) = delete;
  NoMoreThreads& operator=(const NoMoreThreads&) = delete;

 private:
  pthread_attr_t before_;
};

using std::chrono::milliseconds;
using std::chrono::steady_clock;

/// A relay and the watchdog that looks after it; spares wait until the loop is claimed.
class WatchedRelay : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(watchdog_.start({&relay_}).ok()); }
  void TearDown() override {
    relay_.end();
    watchdog_.stop();
    relay_.join();
  }

  void run_spare() {
    if (relay_.await_vacancy()) (void)relay_.give_away();
  }
  void call_for(milliseconds time) {
    for (const auto end = steady_clock::now() + time; steady_clock::now() < end;) {
      ASSERT_TRUE(relay_.leave(relay_.enter()));
      std::this_thread::sleep_for(milliseconds(1));
    }
  }

  Relay relay_{[this] { run_spare(); }, [] {}};
  Watchdog watchdog_;
};

/// How often the thread of that name of this process has gone to sleep.
int sleeps_of(const std::string& name) {
  const std::string key = "voluntary_ctxt_switches:";
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    std::string line;
    std::getline(std::ifstream(task.path() / "comm"), line);
    if (line != name) continue;
    std::ifstream status(task.path() / "status");
    while (std::getline(status, line)) {
      if (line.starts_with(key)) return std::stoi(line.substr(key.size()));
    }
  }
  return -1;
}

TEST_F(WatchedRelay, a_call_that_is_stuck_loses_the_loop) {
  call_for(milliseconds(100));
  const uint64_t ticket = relay_.enter();
  std::this_thread::sleep_for(milliseconds(300));
  EXPECT_FALSE(relay_.leave(ticket));
  relay_.reclaim();
}

TEST_F(WatchedRelay, calls_that_come_and_go_wake_nobody) {
  call_for(milliseconds(50));
  const int before = sleeps_of("bnb-watchdog");
  ASSERT_GE(before, 0);
  call_for(milliseconds(500));
  // Not once, but for a machine that did not run this thread for longer than a look takes.
  EXPECT_LE(sleeps_of("bnb-watchdog") - before, 3);
}

TEST_F(WatchedRelay, a_loop_stays_where_it_is_while_no_thread_can_be_had) {
  uint64_t ticket = relay_.enter();
  {
    const NoMoreThreads limit;
    std::this_thread::sleep_for(milliseconds(100));
    EXPECT_TRUE(relay_.leave(ticket));  // nobody has taken it
    call_for(milliseconds(100));
  }
  ticket = relay_.enter();
  std::this_thread::sleep_for(milliseconds(300));
  EXPECT_FALSE(relay_.leave(ticket));
  relay_.reclaim();
}

TEST(RelayTest, a_look_that_comes_early_does_no_harm) {
  Relay relay([] {}, [] {});
  const uint64_t ticket = relay.enter();
  relay.look(0);
  EXPECT_TRUE(relay.leave(ticket));
}

}  // namespace
}  // namespace barnabas::net
