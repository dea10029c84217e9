// The disk threads' pool, and what decides whether a fetch needs them.
#include "dataplane/disk_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <set>

#include "dataplane/recent_tail.h"

namespace barnabas::dataplane {
namespace {

TEST(DiskPool, a_full_queue_refuses_and_takes_again_when_there_is_room) {
  DiskPool pool("test", 1, 2);
  std::promise<void> started;
  std::promise<void> release;
  std::atomic<int> ran{0};
  ASSERT_TRUE(pool.submit([&] {
    started.set_value();
    release.get_future().wait();
  }));
  started.get_future().wait();
  EXPECT_TRUE(pool.submit([&] { ++ran; }));
  EXPECT_TRUE(pool.submit([&] { ++ran; }));
  EXPECT_FALSE(pool.submit([&] { ran += 100; }));
  EXPECT_EQ(pool.queued(), 2U);
  release.set_value();
  pool.stop();
  EXPECT_EQ(ran, 2);
  EXPECT_FALSE(pool.submit([&] { ran += 100; }));
}

TEST(DiskPool, a_blocked_task_does_not_hold_up_the_others) {
  std::promise<void> release;
  const std::shared_future<void> released = release.get_future().share();
  std::promise<void> passed;
  DiskPool pool("test", 2, 10);
  ASSERT_TRUE(pool.submit([released] { released.wait(); }));
  ASSERT_TRUE(pool.submit([&] { passed.set_value(); }));
  passed.get_future().wait();
  release.set_value();
}

TEST(DiskPool, parallel_for_does_everything_once) {
  for (const int threads : {1, 4}) {
    std::vector<std::atomic<int>> done(100);
    parallel_for(threads, done.size(), [&](size_t i) { ++done[i]; });
    for (const auto& times : done) EXPECT_EQ(times, 1);
  }
  parallel_for(4, 0, [](size_t) { FAIL(); });
}

TEST(RecentTail, holds_what_was_appended_since_the_last_mark_but_one) {
  RecentTail tail(100);
  EXPECT_FALSE(tail.contains(99));
  EXPECT_TRUE(tail.contains(100));
  tail.age(200);
  EXPECT_TRUE(tail.contains(100));
  tail.age(300);
  EXPECT_FALSE(tail.contains(199));
  EXPECT_TRUE(tail.contains(200));
}

TEST(RecentTail, moves_on_with_the_bytes_appended) {
  RecentTail tail(0);
  tail.note_append(10, RecentTail::kMarkBytes - 1);
  EXPECT_TRUE(tail.contains(0));
  tail.note_append(20, RecentTail::kMarkBytes);
  tail.note_append(30, RecentTail::kMarkBytes + 1);
  EXPECT_TRUE(tail.contains(0));
  tail.note_append(40, 2 * RecentTail::kMarkBytes);
  EXPECT_FALSE(tail.contains(19));
  EXPECT_TRUE(tail.contains(20));
}

}  // namespace
}  // namespace barnabas::dataplane
