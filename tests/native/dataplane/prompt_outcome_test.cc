#include "dataplane/prompt_outcome.h"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>
#include <vector>

namespace barnabas::dataplane {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

struct Told {
  std::thread::id by;
  ErrorCode error;
  int64_t base_offset;
};

class PromptOutcomeTest : public testing::Test {
 protected:
  PromptOutcome outcome_{[this](ErrorCode error, int64_t base_offset) {
    told_.push_back({std::this_thread::get_id(), error, base_offset});
  }};
  std::vector<Told> told_;
};

TEST_F(PromptOutcomeTest, WhoWaitsIsToldOnItsOwnThread) {
  std::thread append([&] {
    outcome_.tell(ErrorCode::kNone, 7);
    outcome_.end_append();
  });
  outcome_.wait(std::chrono::seconds(10));
  append.join();
  ASSERT_EQ(told_.size(), 1);
  EXPECT_EQ(told_[0].by, std::this_thread::get_id());
  EXPECT_EQ(told_[0].base_offset, 7);
}

TEST_F(PromptOutcomeTest, AnOutcomeThatCameBeforeTheWaitIsNotLost) {
  outcome_.tell(ErrorCode::kKafkaStorageError, -1);
  outcome_.end_append();
  EXPECT_TRUE(told_.empty());
  outcome_.wait(microseconds(0));
  ASSERT_EQ(told_.size(), 1);
  EXPECT_EQ(told_[0].error, ErrorCode::kKafkaStorageError);
}

TEST_F(PromptOutcomeTest, AnOutcomeThatIsKeptIsToldThoughTheThreadIsNotFreeYet) {
  outcome_.tell(ErrorCode::kNone, 3);
  outcome_.wait(microseconds(0));
  EXPECT_EQ(told_.size(), 1);
  outcome_.end_append();
  EXPECT_EQ(told_.size(), 1);
}

TEST_F(PromptOutcomeTest, AnAppendThatTakesLongerIsToldByItsThread) {
  outcome_.wait(milliseconds(1));
  std::thread append([&] {
    outcome_.tell(ErrorCode::kNone, 7);
    outcome_.end_append();
  });
  const auto id = append.get_id();
  append.join();
  ASSERT_EQ(told_.size(), 1);
  EXPECT_EQ(told_[0].by, id);
}

TEST_F(PromptOutcomeTest, AnAppendThatWaitsForItsFsyncIsNotWaitedFor) {
  std::thread append([&] { outcome_.end_append(); });
  outcome_.wait(std::chrono::seconds(10));
  append.join();
  EXPECT_TRUE(told_.empty());
  outcome_.tell(ErrorCode::kNone, 9);
  ASSERT_EQ(told_.size(), 1);
  EXPECT_EQ(told_[0].base_offset, 9);
}

}  // namespace
}  // namespace barnabas::dataplane
