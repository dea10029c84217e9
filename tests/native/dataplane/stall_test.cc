// A disk whose writes stall under a broker.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/faulty_file_system.h"
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

TEST_F(StallTest, appends_of_a_coordinator_return_at_once) {
  stall(1000);
  const std::string value = "v";
  const std::vector<KeyValueView> records{{std::nullopt, as_bytes(value)}};
  std::atomic<int> heard{0};
  const int64_t begin_ms = now_ms();
  for (int i = 0; i < 10; ++i) {
    const auto queued =
        engine_->append_records("t", 0, records, 1, [&heard, i](ErrorCode error, int64_t base) {
          EXPECT_EQ(error, ErrorCode::kNone);
          EXPECT_EQ(base, i);
          ++heard;
        });
    ASSERT_TRUE(queued.ok());
  }
  EXPECT_LT(now_ms() - begin_ms, 800);
  EXPECT_TRUE(eventually([&] { return heard == 10; }));
}

}  // namespace
}  // namespace barnabas::dataplane
