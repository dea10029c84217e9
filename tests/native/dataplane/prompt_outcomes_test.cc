#include "dataplane/prompt_outcomes.h"

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

namespace barnabas::dataplane {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;
using Told = std::vector<std::optional<ErrorCode>>;

constexpr ErrorCode kNone = ErrorCode::kNone;
constexpr ErrorCode kFailed = ErrorCode::kKafkaStorageError;

struct Late {
  std::thread::id by;
  size_t index;
  ErrorCode error;
};

class PromptOutcomesTest : public testing::Test {
 protected:
  PromptOutcomes outcomes_{2, [this](size_t index, ErrorCode error) {
                             late_.push_back({std::this_thread::get_id(), index, error});
                           }};
  std::vector<Late> late_;
};

TEST_F(PromptOutcomesTest, WhatComesWhileSomebodyWaitsIsReturned) {
  outcomes_.begin_share();
  outcomes_.begin_share();
  std::vector<std::thread> threads;
  for (size_t i = 0; i < 2; ++i) {
    threads.emplace_back([this, i] {
      outcomes_.tell(i, i == 0 ? kNone : kFailed);
      outcomes_.end_share();
    });
  }
  EXPECT_EQ(outcomes_.take(seconds(10)), (Told{kNone, kFailed}));
  for (auto& thread : threads) thread.join();
  EXPECT_TRUE(late_.empty());
}

TEST_F(PromptOutcomesTest, WhatCameBeforeIsReturnedThoughTheThreadIsNotFreeYet) {
  outcomes_.begin_share();
  outcomes_.tell(1, kNone);
  EXPECT_EQ(outcomes_.take(microseconds(0)), (Told{std::nullopt, kNone}));
  outcomes_.tell(0, kNone);
  outcomes_.end_share();
  EXPECT_EQ(late_.size(), 1);
}

TEST_F(PromptOutcomesTest, WhatTakesLongerIsToldByItsThread) {
  outcomes_.begin_share();
  EXPECT_EQ(outcomes_.take(milliseconds(1)), (Told{std::nullopt, std::nullopt}));
  std::thread append([this] {
    outcomes_.tell(0, kNone);
    outcomes_.tell(1, kFailed);
    outcomes_.end_share();
  });
  const auto id = append.get_id();
  append.join();
  ASSERT_EQ(late_.size(), 2);
  EXPECT_EQ(late_[0].by, id);
  EXPECT_EQ(late_[0].error, kNone);
  EXPECT_EQ(late_[1].index, 1);
  EXPECT_EQ(late_[1].error, kFailed);
}

TEST_F(PromptOutcomesTest, WhatWaitsForItsFsyncIsNotWaitedFor) {
  outcomes_.begin_share();
  std::thread append([this] {
    outcomes_.tell(0, kNone);
    outcomes_.end_share();
  });
  EXPECT_EQ(outcomes_.take(seconds(3600)), (Told{kNone, std::nullopt}));
  append.join();
  outcomes_.tell(1, kNone);
  EXPECT_EQ(late_.size(), 1);
}

TEST_F(PromptOutcomesTest, AShareThatIsBehindOthersIsNotWaitedFor) {
  EXPECT_EQ(outcomes_.take(seconds(3600)), (Told{std::nullopt, std::nullopt}));
  outcomes_.tell(0, kNone);
  outcomes_.tell(1, kNone);
  EXPECT_EQ(late_.size(), 2);
}

TEST(PromptOutcomes, TheCallbackGoesWithItsLastUse) {
  const auto held = std::make_shared<int>(1);
  PromptOutcomes outcomes(1, [held](size_t, ErrorCode) {});
  EXPECT_EQ(held.use_count(), 2);
  outcomes.tell(0, kNone);
  EXPECT_EQ(outcomes.take(microseconds(0)), Told{kNone});
  EXPECT_EQ(held.use_count(), 1);
}

}  // namespace
}  // namespace barnabas::dataplane
