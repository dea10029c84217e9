// Two log directories of which one stalls: what threads of the other do goes on.
#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "base/faulty_file_system.h"
#include "broker_fixture.h"

namespace barnabas::dataplane {
namespace {

constexpr int64_t kStallMs = 3000;
constexpr int64_t kQuickMs = 2500;     // what nothing that need not wait for the stall takes
constexpr int kSpreadPartitions = 10;  // those with even numbers lie in the first directory

constexpr int kLargeRecords = 5;

/// More to expand than a reactor does.
const Bytes& large_batch() {
  static const Bytes batch = storage::make_batch(
      {.records = kLargeRecords, .value_bytes = 1'000'000, .codec = record::Codec::kGzip});
  return batch;
}

class StalledDirectoryTest : public BrokerTest {
 protected:
  void SetUp() override {
    open_both();
    create("t", kSpreadPartitions);
    start();
  }
  void TearDown() override {
    FaultyFileSystem::instance().remove(fault_);
    BrokerTest::TearDown();
    set_file_system(nullptr);
  }
  void open_both() {
    open({{"num.network.threads", int64_t{1}}, {"num.io.threads", int64_t{1}}}, {"a", "b"});
  }
  /// So many such calls in the first directory take long.
  void stall(FileCall call, uint64_t times) {
    fault_ = FaultyFileSystem::instance().add(
        {call, {"*/a/*.log"}, FaultEffect::kDelay, kStallMs, 1, times});
  }
  bool have_struck(uint64_t count) {
    return eventually([&] { return FaultyFileSystem::instance().count(fault_).struck == count; });
  }

  uint64_t fault_ = 0;
};

TEST_F(StalledDirectoryTest, while_an_append_stalls_on_a_disk_thread_others_wait_without_one) {
  stall(FileCall::kWrite, 1);
  BrokerClient first(port_);
  first.send(produce_of(large_batch(), 0));
  ASSERT_TRUE(have_struck(1));
  const int64_t begin_ms = now_ms();
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  BrokerClient large(port_);
  BrokerClient small(port_);
  BrokerClient elsewhere(port_);
  large.send(produce_of(large_batch(), 2));
  small.send(produce_of(storage::make_batch({}), 0));
  EXPECT_EQ(elsewhere.produce_one(produce_of(large_batch(), 1)).base_offset, 0);
  EXPECT_EQ(elsewhere.produce_one(produce_of(storage::make_batch({}), 1)).base_offset,
            kLargeRecords);
  EXPECT_LT(now_ms() - begin_ms, kQuickMs);
  EXPECT_EQ(stat("requests_total"), 3);  // the other two are put off
  EXPECT_EQ(stat("disk_reads_queued"), 0);
  EXPECT_EQ(decode_produce(first.receive(), 9).at(0).base_offset, 0);
  EXPECT_EQ(decode_produce(small.receive(), 9).at(0).base_offset, kLargeRecords);
  EXPECT_EQ(decode_produce(large.receive(), 9).at(0).base_offset, 0);
}

TEST_F(StalledDirectoryTest, a_request_for_both_directories_holds_up_the_one_that_stalls) {
  stall(FileCall::kWrite, 1);
  ProduceSpec spec = produce_of(large_batch(), 0);
  for (const int32_t partition : {1, 2}) {
    spec.parts.push_back({.partition = partition, .records = large_batch()});
  }
  BrokerClient both(port_);
  both.send(spec);
  ASSERT_TRUE(have_struck(1));
  const int64_t begin_ms = now_ms();
  BrokerClient elsewhere(port_);
  EXPECT_EQ(elsewhere.produce_one(produce_of(large_batch(), 1)).base_offset, 0);
  EXPECT_LT(now_ms() - begin_ms, kQuickMs);
  std::vector<int64_t> offsets;
  for (const ProduceAnswer& answer : decode_produce(both.receive(), spec.version)) {
    EXPECT_EQ(answer.error, ErrorCode::kNone);
    offsets.push_back(answer.base_offset);
  }
  EXPECT_EQ(offsets, (std::vector<int64_t>{0, kLargeRecords, 0}));
}

TEST_F(StalledDirectoryTest, cold_fetches_of_the_other_go_on) {
  for (const int32_t index : {0, 1, 3}) {
    const auto batch = storage::make_batch({.records = 1 + index});
    EXPECT_EQ(BrokerClient(port_).produce_one(produce_of(batch, index)).error, ErrorCode::kNone);
  }
  ASSERT_TRUE(engine_->stop(0).ok());
  engine_.reset();
  open_both();
  std::vector<PartitionSpec> specs;
  for (int32_t index = 0; index < kSpreadPartitions; ++index)
    specs.push_back({"t", id_of(1), index, 0});
  ASSERT_TRUE(engine_->load_partitions(specs, {}).ok());
  start();
  stall(FileCall::kRead, 1);
  FetchSpec spec = fetch_of(0, 1);
  for (const int32_t partition : {0, 3}) spec.parts.push_back({.partition = partition});
  BrokerClient both(port_);
  both.send(spec);
  ASSERT_TRUE(have_struck(1));
  const int64_t begin_ms = now_ms();
  BrokerClient elsewhere(port_);
  const FetchedPartition found = elsewhere.fetch_one(fetch_of(0, 1));
  EXPECT_EQ(found.high_watermark, 2);
  EXPECT_EQ(base_offsets(found.records), std::vector<int64_t>{0});
  EXPECT_LT(now_ms() - begin_ms, kQuickMs);
  std::vector<int64_t> ends;
  for (const FetchedPartition& part : decode_fetch(both.receive(), spec.version).parts) {
    EXPECT_EQ(base_offsets(part.records), std::vector<int64_t>{0});
    ends.push_back(part.high_watermark);
  }
  EXPECT_EQ(ends, (std::vector<int64_t>{2, 1, 4}));
}

TEST_F(StalledDirectoryTest, flushes_of_the_other_go_on) {
  create("durable", kSpreadPartitions, {{"flush.messages", int64_t{1}}}, id_of(2));
  stall(FileCall::kSync, 4);
  BrokerClient waiting(port_);
  for (int32_t index = 0; index < kSpreadPartitions; index += 2) {
    waiting.send(produce_of(storage::make_batch({}), index, "durable"));
  }
  ASSERT_TRUE(have_struck(4));
  const int64_t begin_ms = now_ms();
  BrokerClient elsewhere(port_);
  const auto answer = elsewhere.produce_one(produce_of(storage::make_batch({}), 1, "durable"));
  EXPECT_EQ(answer.error, ErrorCode::kNone);
  EXPECT_LT(now_ms() - begin_ms, kQuickMs);
  for (int32_t index = 0; index < kSpreadPartitions; index += 2) {
    EXPECT_EQ(decode_produce(waiting.receive(), 9).at(0).error, ErrorCode::kNone);
  }
}

}  // namespace
}  // namespace barnabas::dataplane
