// A loop that is to go to another thread when there is none to be had.
#include "net/relay.h"

#include <gtest/gtest.h>
#include <pthread.h>

#include <memory>

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

TEST(RelayTest, a_loop_stays_where_it_is_while_no_thread_can_be_had) {
  Relay* relay_of_spare = nullptr;
  Relay relay(
      [&relay_of_spare] {
        if (relay_of_spare->await_vacancy()) (void)relay_of_spare->give_away();
      },
      [] {});
  relay_of_spare = &relay;
  EXPECT_EQ(relay.look(), Sight::kQuiet);
  uint64_t ticket = relay.enter();
  EXPECT_EQ(relay.look(), Sight::kInside);
  {
    const NoMoreThreads limit;
    for (int tick = 0; tick < 5; ++tick) EXPECT_EQ(relay.look(), Sight::kCalls);
  }
  EXPECT_TRUE(relay.leave(ticket));  // nobody has taken it
  EXPECT_EQ(relay.look(), Sight::kCalls);

  ticket = relay.enter();
  EXPECT_EQ(relay.look(), Sight::kInside);
  EXPECT_EQ(relay.look(), Sight::kCalls);
  EXPECT_FALSE(relay.leave(ticket));
  relay.reclaim();
  relay.end();
  relay.join();
}

}  // namespace
}  // namespace barnabas::net
