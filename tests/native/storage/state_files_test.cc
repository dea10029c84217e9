// The small files and the state behind them, byte for byte.
#include <fstream>

#include "base/crc32c.h"
#include "log_fixture.h"
#include "storage/leader_epoch_cache.h"
#include "storage/partition_metadata.h"
#include "storage/producer_snapshot.h"

namespace barnabas::storage {
namespace {

std::string read_text(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

TEST(LeaderEpochCacheTest, AnswersAsKafkaDoesForEveryEpoch) {
  LeaderEpochCache cache;
  EXPECT_EQ(cache.end_offset_for(3, 100).epoch, -1);
  cache.assign(2, 10);
  cache.assign(4, 20);
  cache.assign(4, 25);  // an epoch starts once
  cache.assign(7, 40);
  const auto expect = [&](int32_t asked, int32_t epoch, int64_t offset) {
    const auto found = cache.end_offset_for(asked, 100);
    EXPECT_EQ(found.epoch, epoch) << asked;
    EXPECT_EQ(found.offset, offset) << asked;
  };
  expect(-1, -1, -1);
  expect(1, 1, 10);  // older than everything: it ended where the log's memory begins
  expect(2, 2, 20);
  expect(3, 2, 20);
  expect(4, 4, 40);
  expect(6, 4, 40);
  expect(7, 7, 100);
  expect(8, -1, -1);
}

TEST(LeaderEpochCacheTest, ALaterEpochAtAnEarlierOffsetReplacesWhatItContradicts) {
  LeaderEpochCache cache;
  cache.assign(1, 0);
  cache.assign(2, 10);
  cache.assign(3, 20);
  EXPECT_TRUE(cache.assign(4, 10));
  EXPECT_EQ(cache.entries(), (std::vector<LeaderEpochCache::Entry>{{1, 0}, {4, 10}}));
}

TEST(LeaderEpochCacheTest, TruncationKeepsTheEpochThatHoldsTheNewStart) {
  LeaderEpochCache cache;
  for (int32_t epoch = 0; epoch < 5; ++epoch) cache.assign(epoch, epoch * 10);
  EXPECT_TRUE(cache.truncate_from_start(25));
  EXPECT_EQ(cache.entries().front(), (LeaderEpochCache::Entry{2, 25}));
  EXPECT_FALSE(cache.truncate_from_start(25));
  EXPECT_TRUE(cache.truncate_from_end(40));
  EXPECT_EQ(cache.latest_epoch(), 3);
  EXPECT_FALSE(cache.truncate_from_end(40));
}

TEST(ProducerSnapshotTest, IsWrittenInKafkasLayoutAndReadBack) {
  ProducerState state;
  ProducerEntry entry;
  entry.epoch = 3;
  entry.last_seen_ms = 1'700'000'000'000;
  entry.coordinator_epoch = 8;
  entry.add({4, 4, 104, 1'600'000'000'000});
  entry.add({9, 4, 109, 1'700'000'000'000});
  state.restore(77, entry);
  const auto bytes = encode_producer_snapshot(state);
  ASSERT_EQ(bytes.size(), 10u + 46u);
  const uint8_t* p = bytes.data();
  EXPECT_EQ(load_be<int16_t>(p), 1);
  EXPECT_EQ(load_be<uint32_t>(p + 2), crc32c(ByteView(bytes).subspan(6)));
  EXPECT_EQ(load_be<int32_t>(p + 6), 1);
  EXPECT_EQ(load_be<int64_t>(p + 10), 77);
  EXPECT_EQ(load_be<int16_t>(p + 18), 3);
  EXPECT_EQ(load_be<int32_t>(p + 20), 9);
  EXPECT_EQ(load_be<int64_t>(p + 24), 109);
  EXPECT_EQ(load_be<int32_t>(p + 32), 4);
  EXPECT_EQ(load_be<int64_t>(p + 36), 1'700'000'000'000);
  EXPECT_EQ(load_be<int32_t>(p + 44), 8);
  EXPECT_EQ(load_be<int64_t>(p + 48), -1);
  const auto decoded = decode_producer_snapshot(bytes, "x");
  ASSERT_TRUE(decoded.ok());
  const ProducerEntry& again = decoded->producers().at(77);
  EXPECT_EQ(again.batch_count, 1);
  EXPECT_EQ(again.last().first_sequence(), 5);
}

TEST(ProducerSnapshotTest, EveryFlippedBitAndEveryShorterFileIsRefused) {
  ProducerState state;
  ProducerEntry entry;
  entry.epoch = 0;
  entry.add({0, 0, 0, 0});
  state.restore(1, entry);
  auto bytes = encode_producer_snapshot(state);
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(decode_producer_snapshot(ByteView(bytes).first(size), "x").ok());
  }
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    bytes[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    EXPECT_FALSE(decode_producer_snapshot(bytes, "x").ok()) << bit;
    bytes[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
  }
}

TEST(PartitionMetadataTest, IsKafkasTextAndADamagedOneIsAsGoodAsNone) {
  TemporaryDirectory root;
  Uuid id;
  for (size_t i = 0; i < id.bytes.size(); ++i) id.bytes[i] = static_cast<uint8_t>(i * 17);
  EXPECT_FALSE(read_partition_metadata(root.path()).has_value());
  ASSERT_TRUE(write_partition_metadata(root.path(), id).ok());
  const std::string path = root.path() + "/partition.metadata";
  EXPECT_EQ(read_text(path), "version: 0\ntopic_id: " + id.to_string());
  EXPECT_EQ(read_partition_metadata(root.path()), id);
  std::ofstream(path) << "version: 0\ntopic_id: short";
  EXPECT_FALSE(read_partition_metadata(root.path()).has_value());
}

}  // namespace
}  // namespace barnabas::storage
