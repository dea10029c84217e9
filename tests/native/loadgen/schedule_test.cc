// When records are due.
#include "loadgen/schedule.h"

#include <gtest/gtest.h>

namespace barnabas::loadgen {
namespace {

constexpr int64_t kFirstNs = 123'456'789'012'345;

TEST(ScheduleTest, RecordsAreEvenlySpaced) {
  const Schedule schedule(kFirstNs, 1000, 0);
  EXPECT_EQ(schedule.due_ns(0), kFirstNs);
  EXPECT_EQ(schedule.due_ns(1), kFirstNs + kNsPerMs);
  EXPECT_EQ(schedule.due_ns(3'600'000), kFirstNs + 3600 * kNsPerSecond);
}

TEST(ScheduleTest, APhaseShiftsByAPartOfTheInterval) {
  const Schedule schedule(kFirstNs, 1000, 0.25);
  EXPECT_EQ(schedule.due_ns(0), kFirstNs + kNsPerMs / 4);
  EXPECT_EQ(schedule.due_count(kFirstNs), 0);
  EXPECT_EQ(schedule.due_count(kFirstNs + kNsPerMs / 4), 1);
}

TEST(ScheduleTest, CountsWhatIsDueWhateverWasSentMeanwhile) {
  const Schedule schedule(kFirstNs, 1000, 0);
  EXPECT_EQ(schedule.due_count(kFirstNs - 1), 0);
  EXPECT_EQ(schedule.due_count(kFirstNs), 1);
  EXPECT_EQ(schedule.due_count(kFirstNs + kNsPerMs - 1), 1);
  EXPECT_EQ(schedule.due_count(kFirstNs + kNsPerSecond), 1001);
}

TEST(ScheduleTest, CountAndDueTimeAgreeAtOddRates) {
  for (const double rate : {0.3, 7.0, 3333.3, 999'983.0, 12'345'678.9}) {
    const Schedule schedule(kFirstNs, rate, 0.7);
    for (int64_t index : {int64_t{0}, int64_t{1}, int64_t{17}, int64_t{1'000'003}}) {
      const int64_t due_ns = schedule.due_ns(index);
      EXPECT_GE(schedule.due_count(due_ns), index + 1) << rate;
      EXPECT_LE(schedule.due_count(due_ns - 1), index) << rate;
    }
  }
}

}  // namespace
}  // namespace barnabas::loadgen
