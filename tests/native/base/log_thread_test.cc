#include "base/log_thread.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace barnabas {
namespace {

class LogThreadTest : public ::testing::Test {
 protected:
  void TearDown() override { thread_->stop(); }
  void log(int number) { thread_->log(LogLevel::kInfo, "test", std::to_string(number)); }
  std::vector<std::string> lines() {
    const std::lock_guard lock(mutex_);
    return lines_;
  }

  std::mutex mutex_;
  std::vector<std::string> lines_;
  std::promise<void> gate_;
  std::atomic<bool> gated_{false};
  std::shared_ptr<LogThread> thread_ =
      LogThread::create([this](LogLevel, std::string_view, std::string_view message) {
        if (gated_) gate_.get_future().wait();
        gated_ = false;
        const std::lock_guard lock(mutex_);
        lines_.emplace_back(message);
      });
};

TEST_F(LogThreadTest, LinesAreDeliveredInOrderByAnotherThreadBeforeAFlushReturns) {
  for (int i = 0; i < 100; ++i) log(i);
  thread_->flush();
  const auto got = lines();
  ASSERT_EQ(got.size(), 100U);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(got[static_cast<size_t>(i)], std::to_string(i));
}

TEST_F(LogThreadTest, NobodyWaitsForASinkThatIsStuckAndWhatIsDroppedIsCounted) {
  gated_ = true;
  log(0);
  constexpr int kLines = static_cast<int>(LogThread::kMaxQueued) * 2;
  for (int i = 1; i <= kLines; ++i) log(i);  // returns although nothing is taken
  gate_.set_value();
  thread_->stop();
  const auto got = lines();
  ASSERT_FALSE(got.empty());
  EXPECT_LE(got.size(), 2 * LogThread::kMaxQueued);
  bool told = false;
  for (const auto& line : got) told = told || line.ends_with("faster than they could be written");
  EXPECT_TRUE(told);
}

TEST_F(LogThreadTest, StoppingDeliversWhatIsQueued) {
  for (int i = 0; i < 1000; ++i) log(i);
  thread_->stop();
  EXPECT_EQ(lines().size(), 1000U);
}

TEST_F(LogThreadTest, AChildOfAForkDeliversItsOwnLines) {
  log(0);
  thread_->flush();
  const pid_t child = fork();
  if (child == 0) {
    log(1);
    thread_->flush();
    thread_->stop();
    _exit(lines_.back() == "1" ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

}  // namespace
}  // namespace barnabas
