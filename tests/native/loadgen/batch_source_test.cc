// Prebuilt batches are good batches, also when cut short or stamped, with every codec; keys go
// where Kafka's own partitioner sends them.
#include "loadgen/batch_source.h"

#include <gtest/gtest.h>

#include <map>
#include <numeric>
#include <set>

#include "base/crc32c.h"
#include "record/codec.h"
#include "record/key_hash.h"
#include "record/record.h"

namespace barnabas::loadgen {
namespace {

constexpr int64_t kTimestampMs = 1'700'000'000'000;

struct ReadRecord {
  std::string key;
  std::vector<uint8_t> value;
};

std::vector<ReadRecord> read_all(ByteView bytes) {
  const auto batch = record::peek_batch(bytes);
  EXPECT_TRUE(batch.has_value());
  EXPECT_EQ(batch->size_bytes(), bytes.size());
  EXPECT_EQ(batch->crc(), crc32c(batch->crc_payload()));
  EXPECT_EQ(batch->last_offset_delta(), batch->record_count() - 1);
  EXPECT_EQ(batch->base_timestamp(), kTimestampMs);
  auto block =
      record::decompress(static_cast<record::Codec>(batch->codec_id()), batch->records(), 64 << 20);
  EXPECT_TRUE(block.ok());
  record::RecordReader reader(*block, batch->record_count());
  std::vector<ReadRecord> records;
  while (true) {
    auto next = reader.next();
    EXPECT_TRUE(next.ok()) << next.error().message;
    if (!next.ok() || !*next) return records;
    const record::RecordView& view = **next;
    EXPECT_EQ(view.offset_delta, static_cast<int32_t>(records.size()));
    records.push_back({view.key ? std::string(as_text(*view.key)) : "",
                       {view.value->begin(), view.value->end()}});
  }
}

std::unique_ptr<BatchTemplates> build(const Plan& plan) {
  auto built = BatchTemplates::build(plan, kTimestampMs);
  EXPECT_TRUE(built.ok());
  return std::move(built).value();
}

class CodecTest : public testing::TestWithParam<record::Codec> {};

TEST_P(CodecTest, FullAndCutBatchesAreGood) {
  Plan plan;
  plan.codec = GetParam();
  const auto templates = build(plan);
  BatchSource source(*templates);
  EXPECT_EQ(templates->full_count(), 148);  // of 100 bytes, in 16384
  for (const int32_t count : {148, 1, 2, 77, 147, 77, 1}) {
    const auto batch = source.take(0, count);
    ASSERT_TRUE(batch.ok());
    const auto records = read_all(*batch);
    ASSERT_EQ(records.size(), static_cast<size_t>(count));
    EXPECT_EQ(records.front().value.size(), 100U);
  }
}

TEST_P(CodecTest, StampsSayWhoseRecordItIsAndWhenItWasDue) {
  Plan plan;
  plan.codec = GetParam();
  plan.stamped = true;
  const auto templates = build(plan);
  BatchSource source(*templates);
  std::vector<int64_t> due_ns(130);
  std::iota(due_ns.begin(), due_ns.end(), 5'000'000);
  const auto batch = source.take_stamped(0, 0xfedcba9876543210, due_ns);
  ASSERT_TRUE(batch.ok());
  const auto records = read_all(*batch);
  ASSERT_EQ(records.size(), due_ns.size());
  for (size_t i = 0; i < records.size(); ++i) {
    EXPECT_EQ(load_be<uint64_t>(records[i].value.data()), 0xfedcba9876543210);
    EXPECT_EQ(load_be<int64_t>(records[i].value.data() + 8), due_ns[i]);
  }
}

INSTANTIATE_TEST_SUITE_P(All, CodecTest,
                         testing::Values(record::Codec::kNone, record::Codec::kGzip,
                                         record::Codec::kSnappy, record::Codec::kLz4,
                                         record::Codec::kZstd));

TEST(BatchSourceTest, ABatchKeepsToItsBytesButHoldsOneRecordAtLeast) {
  Plan plan;
  for (const int32_t record_size : {1, 99, 4000, 16'000}) {
    plan.record_size = record_size;
    const auto templates = build(plan);
    BatchSource source(*templates);
    const auto batch = source.take(0, templates->full_count());
    EXPECT_LE(batch->size(), 16384U);
    EXPECT_GT(batch->size() + static_cast<size_t>(record_size) + 20, 16384U);
  }
  plan.record_size = 20'000;
  EXPECT_EQ(build(plan)->full_count(), 1);
  plan.batch_records = 3;
  EXPECT_EQ(build(plan)->full_count(), 3);
}

TEST(KeysTest, TheHashIsKafkas) {  // the values of Kafka's own test of its partitioner's hash
  const std::map<std::string, int32_t> known{
      {"21", -973932308},
      {"foobar", -790332482},
      {"a-little-bit-long-string", -985981536},
      {"a-little-bit-longer-string", -1486304829},
      {"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971},
      {"abc", 479470107}};
  for (const auto& [text, hash] : known) {
    EXPECT_EQ(static_cast<int32_t>(record::key_hash(as_bytes(text))), hash) << text;
  }
}

TEST(KeysTest, EveryKeyGoesToThePartitionOfItsHash) {
  Plan plan;
  plan.key_distribution = KeyDistribution::kUniform;
  plan.keys = 50;
  plan.partitions_per_topic = 4;
  const auto templates = build(plan);
  BatchSource source(*templates);
  std::set<std::string> seen;
  double weights = 0;
  for (int32_t partition = 0; partition < 4; ++partition) {
    weights += templates->weight(partition);
    const auto batch = source.take(partition, templates->full_count());
    ASSERT_TRUE(batch.ok());
    for (const ReadRecord& record : read_all(*batch)) {
      EXPECT_EQ((record::key_hash(as_bytes(record.key)) & 0x7fffffff) % 4,
                static_cast<uint32_t>(partition));
      seen.insert(record.key);
    }
  }
  EXPECT_NEAR(weights, 1, 1e-9);
  EXPECT_EQ(seen.size(), 50U);
}

TEST(KeysTest, ZipfMakesTheFirstKeyTheMostFrequent) {
  const Keys keys(KeyDistribution::kZipf, 1000, 1);
  Random random(7);
  std::map<int32_t, int> drawn;
  for (int i = 0; i < 100'000; ++i) ++drawn[keys.draw(0, random)];
  EXPECT_NEAR(drawn[0], 100'000 / 7.7, 1500);  // the sum of k^-0.99 to 1000 is 7.7
  EXPECT_NEAR(drawn[0] / 2.0, drawn[1], drawn[0] * 0.1);
}

TEST(KeysTest, APartitionWithoutKeysHasNoWeight) {
  const Keys keys(KeyDistribution::kUniform, 1, 16);
  int with_weight = 0;
  for (int32_t partition = 0; partition < 16; ++partition)
    with_weight += keys.weight(partition) > 0;
  EXPECT_EQ(with_weight, 1);
}

}  // namespace
}  // namespace barnabas::loadgen
