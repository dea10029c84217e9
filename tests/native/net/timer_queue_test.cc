#include "net/timer_queue.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <vector>

namespace barnabas::net {
namespace {

TEST(TimerQueue, RunsWhatIsDueInTheOrderOfDeadlines) {
  TimerQueue timers;
  std::vector<int> ran;
  timers.add(30, [&] { ran.push_back(30); });
  timers.add(10, [&] { ran.push_back(10); });
  timers.add(20, [&] { ran.push_back(20); });
  timers.add(20, [&] { ran.push_back(21); });
  timers.run_due(20);
  EXPECT_EQ(ran, (std::vector<int>{10, 20, 21}));
  timers.run_due(100);
  EXPECT_EQ(ran, (std::vector<int>{10, 20, 21, 30}));
}

TEST(TimerQueue, ACancelledTimerNeverRuns) {
  TimerQueue timers;
  bool ran = false;
  const TimerId id = timers.add(10, [&] { ran = true; });
  timers.cancel(id);
  timers.run_due(10);
  EXPECT_FALSE(ran);
  EXPECT_EQ(timers.timeout_ms(0), -1);
}

TEST(TimerQueue, AStaleIdDoesNotCancelTheTimerThatTookItsPlace) {
  TimerQueue timers;
  bool ran = false;
  const TimerId first = timers.add(10, [] {});
  timers.run_due(10);
  timers.add(20, [&] { ran = true; });
  timers.cancel(first);
  timers.cancel(first + 12345);
  timers.run_due(20);
  EXPECT_TRUE(ran);
}

TEST(TimerQueue, ATaskMayCancelOthersAndItself) {
  TimerQueue timers;
  bool other_ran = false;
  TimerId self = 0;
  TimerId other = 0;
  self = timers.add(10, [&] {
    timers.cancel(self);
    timers.cancel(other);
  });
  other = timers.add(11, [&] { other_ran = true; });
  timers.run_due(20);
  EXPECT_FALSE(other_ran);
}

TEST(TimerQueue, ATaskThatAddsADueTimerEndsTheRound) {
  TimerQueue timers;
  int runs = 0;
  std::function<void()> again = [&] {
    ++runs;
    timers.add(0, again);
  };
  timers.add(0, again);
  timers.run_due(100);
  EXPECT_EQ(runs, 1);
  timers.run_due(100);
  EXPECT_EQ(runs, 2);
}

TEST(TimerQueue, TheTimeoutIsRoundedUpToMilliseconds) {
  TimerQueue timers;
  timers.add(1'000'001, [] {});
  EXPECT_EQ(timers.timeout_ms(0), 2);
  EXPECT_EQ(timers.timeout_ms(1'000'000), 1);
  EXPECT_EQ(timers.timeout_ms(5'000'000), 0);
}

TEST(TimerQueue, AgreesWithAModelUnderRandomUse) {
  TimerQueue timers;
  std::map<std::pair<int64_t, int>, TimerId> model;  // by deadline and order of adding
  std::vector<int> ran;
  std::mt19937 random(7);
  int next = 0;
  int64_t now = 0;
  for (int step = 0; step < 20'000; ++step) {
    const unsigned choice = random() % 10;
    if (choice < 6) {
      const int64_t deadline = now + static_cast<int64_t>(random() % 1000);
      const int name = next++;
      model[{deadline, name}] = timers.add(deadline, [&ran, name] { ran.push_back(name); });
    } else if (choice < 8 && !model.empty()) {
      auto victim = model.begin();
      std::advance(victim, random() % std::min<size_t>(model.size(), 50));
      timers.cancel(victim->second);
      model.erase(victim);
    } else {
      now += static_cast<int64_t>(random() % 200);
      std::vector<int> expected;
      while (!model.empty() && model.begin()->first.first <= now) {
        expected.push_back(model.begin()->first.second);
        model.erase(model.begin());
      }
      ran.clear();
      timers.run_due(now);
      ASSERT_EQ(ran, expected);
    }
    ASSERT_EQ(timers.size(), model.size());
  }
}

}  // namespace
}  // namespace barnabas::net
