// A disk whose writes stall under a broker.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/faulty_file_system.h"
#include "base/thread_annotations.h"
#include "broker_fixture.h"

namespace barnabas::dataplane {
namespace {

class StallTest : public BrokerTest {
 protected:
  void SetUp() override {
    open({{"num.network.threads", int64_t{1}}});
    create("t", 2);
    start();
  }
  void TearDown() override {
    FaultyFileSystem::instance().remove(fault_);
    BrokerTest::TearDown();
    set_file_system(nullptr);
  }
  /// The next write of partition 0 takes so long.
  void stall(int64_t ms) {
    fault_ = FaultyFileSystem::instance().add(
        {FileCall::kWrite, {"*/t-0/*.log"}, FaultEffect::kDelay, ms, 1, 1});
  }
  /// Writes of such files are not done before release().
  void hold(const std::string& pattern) {
    fault_ = FaultyFileSystem::instance().add({FileCall::kWrite, {pattern}, FaultEffect::kHold});
  }
  void release() { FaultyFileSystem::instance().remove(fault_); }
  bool has_struck() {
    return eventually([&] { return FaultyFileSystem::instance().count(fault_).struck == 1; });
  }

  uint64_t fault_ = 0;
};

TEST_F(StallTest, fetches_are_answered_while_appends_wait_and_each_is_done_once) {
  BrokerClient reader(port_);
  reader.produce_one(produce_of(storage::make_batch({}), 1));
  stall(1000);
  std::vector<std::unique_ptr<BrokerClient>> producers;
  for (int i = 0; i < 8; ++i) {
    producers.push_back(std::make_unique<BrokerClient>(port_));
    for (int batch = 0; batch < 3; ++batch) {
      producers.back()->send(produce_of(storage::make_batch({}), 0));
    }
  }
  ASSERT_TRUE(has_struck());
  const int64_t begin_ms = now_ms();
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(base_offsets(reader.fetch_one(fetch_of(0, 1)).records), std::vector<int64_t>{0});
  }
  EXPECT_LT(now_ms() - begin_ms, 800);
  EXPECT_EQ(engine_->partition_info("t", 0)->log_end_offset, 0);
  std::vector<int64_t> offsets;
  for (const auto& producer : producers) {
    for (int batch = 0; batch < 3; ++batch) {
      const auto answer = decode_produce(producer->receive(), 9).at(0);
      EXPECT_EQ(answer.error, ErrorCode::kNone);
      offsets.push_back(answer.base_offset);
    }
  }
  std::sort(offsets.begin(), offsets.end());
  EXPECT_EQ(std::unique(offsets.begin(), offsets.end()), offsets.end());
  EXPECT_EQ(offsets.size(), 24U);
}

TEST_F(StallTest, a_parked_fetch_is_woken_by_the_append_that_was_stuck) {
  BrokerClient consumer(port_);
  BrokerClient producer(port_);
  FetchSpec fetch = fetch_of(0, 0);
  fetch.max_wait_ms = 20'000;
  consumer.send(fetch);
  ASSERT_TRUE(parked(1));
  stall(200);
  producer.send(produce_of(storage::make_batch({}), 0));
  ASSERT_TRUE(has_struck());
  EXPECT_EQ(base_offsets(decode_fetch(consumer.receive(), fetch.version).parts[0].records),
            std::vector<int64_t>{0});
  EXPECT_EQ(decode_produce(producer.receive(), 9).at(0).base_offset, 0);
}

/// Late outcomes of appends, in the order in which they are told.
class LateOutcomes {
 public:
  LateCallback callback(size_t first) {
    return [this, first](size_t index, ErrorCode error) {
      EXPECT_EQ(error, ErrorCode::kNone);
      MutexLock lock(mutex_);
      told_.push_back(first + index);
    };
  }
  std::vector<size_t> told() {
    MutexLock lock(mutex_);
    return told_;
  }

 private:
  Mutex mutex_;
  std::vector<size_t> told_ GUARDED_BY(mutex_);
};

TEST_F(StallTest, appends_of_a_coordinator_return_at_once) {
  hold("*/t-0/*.log");
  const std::string value = "v";
  const CoordinatorAppend append{
      .topic = "t", .partition = 0, .records = {{std::nullopt, as_bytes(value)}}};
  LateOutcomes late;
  for (size_t i = 0; i < 10; ++i) {
    const auto outcomes = engine_->append_all({&append, 1}, late.callback(i));
    EXPECT_EQ(outcomes, std::vector<std::optional<ErrorCode>>{std::nullopt});
  }
  EXPECT_TRUE(late.told().empty());
  release();
  EXPECT_TRUE(eventually([&] { return late.told().size() == 10; }));
  EXPECT_EQ(late.told(), (std::vector<size_t>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}));
  EXPECT_EQ(engine_->partition_info("t", 0)->log_end_offset, 10);
}

TEST_F(StallTest, appends_that_go_out_together_wait_for_no_other_directory) {
  engine_.reset();
  open({}, {"c", "d"});
  constexpr int32_t kPartitions = 8;
  create("two", kPartitions);
  start();
  const std::string value = "v";
  std::vector<CoordinatorAppend> appends;
  std::vector<size_t> stuck;
  for (int32_t n = 0; n < 2 * kPartitions; ++n) {
    const int32_t partition = n % kPartitions;
    if (engine_->partition_info("two", partition)->directory == directory_.path() + "/c") {
      stuck.push_back(appends.size());
    }
    appends.push_back(
        {.topic = "two", .partition = partition, .records = {{std::nullopt, as_bytes(value)}}});
  }
  EXPECT_EQ(stuck.size(), kPartitions);
  hold("*/c/two-*/*.log");
  LateOutcomes late;
  const auto outcomes = engine_->append_all(appends, late.callback(0));
  std::vector<size_t> waiting;
  for (size_t i = 0; i < outcomes.size(); ++i) {
    if (outcomes[i] == std::nullopt) waiting.push_back(i);
  }
  EXPECT_TRUE(eventually([&] { return waiting.size() - late.told().size() == stuck.size(); }));
  for (const size_t index : late.told()) std::erase(waiting, index);
  EXPECT_EQ(waiting, stuck);
  release();
  EXPECT_TRUE(eventually([&] {
    return std::ranges::all_of(
        waiting, [&](size_t index) { return std::ranges::count(late.told(), index) == 1; });
  }));
  for (int32_t n = 0; n < kPartitions; ++n) {
    EXPECT_EQ(engine_->partition_info("two", n)->high_watermark, 2);
  }
}

}  // namespace
}  // namespace barnabas::dataplane
