// Appending, reading and opening again.
#include "log_fixture.h"

namespace barnabas::storage {
namespace {

using Batches = std::vector<std::pair<int64_t, int64_t>>;

TEST_F(LogTest, ANewLogIsEmptyAndReadsNothingAtItsEnd) {
  open();
  EXPECT_EQ(log->log_start_offset(), 0);
  EXPECT_EQ(log->log_end_offset(), 0);
  const auto slice = log->read(0, 1000, INT64_MAX, true);
  ASSERT_TRUE(slice.ok());
  EXPECT_EQ(slice->file.length, 0u);
}

TEST_F(LogTest, OffsetsAreAssignedInOrderAndReadBack) {
  open();
  EXPECT_EQ(append({.records = 3}).base_offset, 0);
  const AppendInfo second = append({.records = 2}, 7);
  EXPECT_EQ(second.base_offset, 3);
  EXPECT_EQ(second.last_offset, 4);
  EXPECT_EQ(log->log_end_offset(), 5);
  EXPECT_EQ(batches_from(0), (Batches{{0, 2}, {3, 4}}));
  EXPECT_EQ(log->latest_epoch(), 7);
}

TEST_F(LogTest, AReadInTheMiddleOfABatchGetsTheWholeBatch) {
  open();
  append({.records = 10});
  append({.records = 10});
  const auto slice = log->read(14, 10000, INT64_MAX, true);
  ASSERT_TRUE(slice.ok());
  EXPECT_EQ(slice->first_batch_offset, 10);
  EXPECT_EQ(slice->file.length, slice->first_batch_bytes);
}

TEST_F(LogTest, OffsetsOutsideTheLogAreRefused) {
  open();
  append({.records = 2});
  EXPECT_EQ(log->read(3, 100, INT64_MAX, true).error().code, ErrorCode::kOffsetOutOfRange);
  EXPECT_EQ(log->read(-1, 100, INT64_MAX, true).error().code, ErrorCode::kOffsetOutOfRange);
}

TEST_F(LogTest, NothingAtOrBeyondTheEndOffsetIsRead) {
  open();
  for (int i = 0; i < 100; ++i) append({.records = 2});
  for (int64_t end = 0; end <= 200; end += 2) {
    const auto slice = log->read(0, 1 << 20, end, true);
    ASSERT_TRUE(slice.ok());
    const auto bytes = bytes_of(*slice);
    int64_t next = 0;
    ByteView rest(bytes);
    while (const auto batch = record::peek_batch(rest)) {
      next = batch->next_offset();
      rest = rest.subspan(batch->size_bytes());
    }
    EXPECT_TRUE(rest.empty());
    EXPECT_EQ(next, end);
  }
}

TEST_F(LogTest, MaxBytesBoundsASliceButTheFirstBatchMayBeWhole) {
  open();
  append({.value_bytes = 5000});
  append({.value_bytes = 5000});
  EXPECT_EQ(log->read(0, 100, INT64_MAX, false)->file.length, 100u);
  const auto whole = log->read(0, 100, INT64_MAX, true);
  EXPECT_EQ(whole->file.length, whole->first_batch_bytes);
  EXPECT_GT(whole->first_batch_bytes, 5000u);
}

TEST_F(LogTest, EveryOffsetIsFoundAcrossSegmentsAndAfterReopening) {
  config.segment_bytes = 20'000;
  config.index_interval_bytes = 300;
  open();
  Batches expected;
  for (int i = 0; i < 500; ++i) {
    const AppendInfo info = append({.records = 1 + i % 4, .value_bytes = 20u + i % 50});
    expected.emplace_back(info.base_offset, info.last_offset);
  }
  EXPECT_GT(log->segment_count(), 4u);
  const auto check = [&] {
    EXPECT_EQ(batches_from(0), expected);
    size_t n = 0;
    for (int64_t offset = 0; offset < log->log_end_offset(); ++offset) {
      if (offset > expected[n].second) ++n;
      const auto slice = log->read(offset, 1, INT64_MAX, true);
      ASSERT_TRUE(slice.ok());
      ASSERT_EQ(slice->first_batch_offset, expected[n].first) << offset;
    }
  };
  check();
  close_and_open();
  EXPECT_FALSE(log->recovery_report().checked);
  check();
  crash_and_open();
  EXPECT_TRUE(log->recovery_report().checked);
  EXPECT_EQ(log->recovery_report().bytes_cut, 0u);
  check();
  append({});
  EXPECT_EQ(batches_from(0).size(), expected.size() + 1);
}

TEST_F(LogTest, AnotherTopicsDirectoryIsRefused) {
  Uuid mine;
  mine.bytes[0] = 1;
  topic_id = mine;
  open();
  EXPECT_EQ(log->topic_id(), mine);
  topic_id->bytes[0] = 2;
  EXPECT_EQ(try_open().error().code, ErrorCode::kInconsistentTopicId);
  topic_id.reset();
  open();
  EXPECT_EQ(log->topic_id(), mine);
}

TEST_F(LogTest, ABatchLargerThanASegmentIsRefused) {
  config.segment_bytes = 1000;
  open();
  EXPECT_EQ(append_error({.value_bytes = 2000}), ErrorCode::kRecordListTooLarge);
  EXPECT_EQ(log->log_end_offset(), 0);
}

}  // namespace
}  // namespace barnabas::storage
