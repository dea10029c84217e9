// Pools of threads by log directory.
#include "dataplane/directory_pools.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>

namespace barnabas::dataplane {
namespace {

TEST(DirectoryPools, a_directory_whose_threads_are_stuck_holds_up_no_other) {
  DirectoryPools pools("test", 2, 10);
  std::promise<void> release;
  const std::shared_future<void> released = release.get_future().share();
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(pools.submit(0, [released] { released.wait(); }));
  std::promise<void> passed;
  ASSERT_TRUE(pools.submit(1, [&] { passed.set_value(); }));
  passed.get_future().wait();
  EXPECT_GE(pools.queued(), 3U);
  EXPECT_EQ(pools.submitted(), 6U);
  release.set_value();
}

TEST(DirectoryPools, a_stop_finishes_what_is_queued_and_takes_no_more) {
  DirectoryPools pools("test", 1, 10);
  std::atomic<int> ran{0};
  for (const size_t directory : {0, 0, 1, 1}) {
    ASSERT_TRUE(pools.submit(directory, [&] { ++ran; }));
  }
  pools.stop();
  EXPECT_EQ(ran, 4);
  for (const size_t directory : {0, 1, 2}) {
    EXPECT_FALSE(pools.submit(directory, [&] { ran += 100; }));
  }
  EXPECT_EQ(ran, 4);
}

TEST(DirectoryPools, a_full_queue_is_its_directorys_alone) {
  DirectoryPools pools("test", 1, 1);
  std::promise<void> release;
  const std::shared_future<void> released = release.get_future().share();
  std::promise<void> started;
  ASSERT_TRUE(pools.submit(0, [&started, released] {
    started.set_value();
    released.wait();
  }));
  started.get_future().wait();
  EXPECT_TRUE(pools.submit(0, [] {}));
  EXPECT_FALSE(pools.submit(0, [] {}));
  EXPECT_TRUE(pools.submit(1, [] {}));
  release.set_value();
}

}  // namespace
}  // namespace barnabas::dataplane
