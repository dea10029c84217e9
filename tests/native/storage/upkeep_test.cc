// Rolling, truncation, deletion, retention, and what the files look like.
#include <algorithm>
#include <fstream>

#include "log_fixture.h"

namespace barnabas::storage {
namespace {

namespace fs = std::filesystem;
using Batches = std::vector<std::pair<int64_t, int64_t>>;

constexpr int64_t kNow = 1'700'000'000'000;  // where ManualClock starts

class UpkeepTest : public LogTest {
 protected:
  struct IndexEntry {
    int64_t key;    // offset, or timestamp
    int64_t value;  // position, or offset
    friend bool operator==(const IndexEntry&, const IndexEntry&) = default;
  };
  [[nodiscard]] std::vector<IndexEntry> offset_index(int64_t base = 0) const {
    const auto bytes = read_file(log_file(base) + ".index");
    std::vector<IndexEntry> entries;
    for (size_t i = 0; i + 8 <= bytes.size(); i += 8) {
      entries.push_back({base + load_be<int32_t>(&bytes[i]), load_be<int32_t>(&bytes[i + 4])});
    }
    EXPECT_EQ(bytes.size() % 8, 0u);
    return entries;
  }
  [[nodiscard]] std::vector<IndexEntry> time_index(int64_t base = 0) const {
    const auto bytes = read_file(log_file(base) + ".timeindex");
    std::vector<IndexEntry> entries;
    for (size_t i = 0; i + 12 <= bytes.size(); i += 12) {
      entries.push_back({load_be<int64_t>(&bytes[i]), base + load_be<int32_t>(&bytes[i + 8])});
    }
    EXPECT_EQ(bytes.size() % 12, 0u);
    return entries;
  }
};

TEST_F(UpkeepTest, ASegmentIsLeftWhenTheNextBatchWouldNotFit) {
  config.segment_bytes = 1000;
  open();
  for (int i = 0; i < 30; ++i) append({.value_bytes = 200});
  EXPECT_GT(log->segment_count(), 6u);
  for (const auto& name : names_with(".log")) EXPECT_LE(fs::file_size(file(name)), 1000u);
}

TEST_F(UpkeepTest, ASegmentIsLeftWhenItsIndexIsFull) {
  config.segment_index_bytes = 10 * 12;  // ten time entries, one of them for closing
  config.index_interval_bytes = 1;
  open();
  for (int i = 0; i < 40; ++i) append({.timestamp = kNow + i});
  EXPECT_GE(log->segment_count(), 4u);
  for (const auto& name : names_with(".timeindex")) {
    EXPECT_LE(fs::file_size(file(name)), 120u);
  }
}

TEST_F(UpkeepTest, ASegmentIsLeftByTheRecordsTime) {
  config.segment_ms = 1000;
  open();
  append({.timestamp = kNow});
  append({.timestamp = kNow + 1000});
  EXPECT_EQ(log->segment_count(), 1u);
  append({.timestamp = kNow + 1001});
  EXPECT_EQ(log->segment_count(), 2u);
  append({.timestamp = INT64_MIN + 5});
  EXPECT_EQ(log->segment_count(), 2u);
}

TEST_F(UpkeepTest, ASegmentIsLeftWhenOffsetsWouldNotFitItsIndex) {
  config.compact = true;  // or the gaps would be a loss
  open();
  const auto far = [](int64_t offset) { return make_batch({.base_offset = offset}); };
  ASSERT_TRUE(log->append_as_follower(far(10)).ok());
  ASSERT_TRUE(log->append_as_follower(far(INT32_MAX)).ok());
  EXPECT_EQ(log->segment_count(), 1u);
  ASSERT_TRUE(log->append_as_follower(far(int64_t{INT32_MAX} + 1)).ok());
  EXPECT_EQ(log->segment_count(), 2u);
  EXPECT_EQ(log->log_end_offset(), int64_t{INT32_MAX} + 2);
  crash_and_open();
  EXPECT_EQ(batches_from(0).size(), 3u);
}

TEST_F(UpkeepTest, AnIdleSegmentIsLeftWhenItsTimeIsOver) {
  config.segment_ms = 1000;
  open();
  append({.timestamp = kNow - 5000});
  log->maintain(1);
  EXPECT_EQ(log->segment_count(), 1u);
  clock.advance_ms(1001);
  log->maintain(1);
  EXPECT_EQ(log->segment_count(), 2u);
  clock.advance_ms(5000);
  log->maintain(1);
  EXPECT_EQ(log->segment_count(), 2u);  // an empty one stays
}

TEST_F(UpkeepTest, JitterMakesSegmentsLeaveAtDifferentTimesAndNeverLate) {
  config.segment_ms = 100'000;
  config.segment_jitter_ms = 90'000;
  open();
  std::vector<int64_t> ages;  // of each segment, when it was left
  int64_t timestamp = kNow;
  for (int segment = 0; segment < 20; ++segment) {
    const size_t before = log->segment_count();
    const int64_t begin = timestamp;
    append({.timestamp = begin});
    while (log->segment_count() == before) append({.timestamp = timestamp += 1000});
    ages.push_back(timestamp - begin);
  }
  const auto [least, most] = std::minmax_element(ages.begin(), ages.end());
  EXPECT_GE(*least, 10'000);
  EXPECT_LE(*most, 101'000);
  EXPECT_GT(*most - *least, 10'000);
}

TEST_F(UpkeepTest, IndexEntriesNameTheLastOffsetOfTheBatchAtTheirPosition) {
  config.index_interval_bytes = 300;
  open();
  std::vector<IndexEntry> batches;
  int64_t position = 0;
  for (int i = 0; i < 50; ++i) {
    const AppendInfo info = append({.records = 1 + i % 5, .value_bytes = 40});
    batches.push_back({info.last_offset, position});
    position = static_cast<int64_t>(log->size_bytes());
  }
  ASSERT_TRUE(log->close().ok());
  const auto entries = offset_index();
  ASSERT_GT(entries.size(), 10u);
  for (const IndexEntry& entry : entries) {
    EXPECT_NE(std::find(batches.begin(), batches.end(), entry), batches.end());
  }
  for (size_t i = 1; i < entries.size(); ++i) {
    EXPECT_GT(entries[i].value - entries[i - 1].value, 300);
  }
}

TEST_F(UpkeepTest, TheTimeIndexOnlyRisesAndEndsWithTheLargestTimestamp) {
  config.index_interval_bytes = 150;
  open();
  std::vector<IndexEntry> batches;  // (largest timestamp, last offset)
  int64_t largest = 0;
  for (int i = 0; i < 60; ++i) {
    const int64_t timestamp = kNow + (i * 37) % 100 - i;
    const AppendInfo info = append({.records = 2, .timestamp = timestamp, .timestamp_step = 3});
    batches.push_back({timestamp + 3, info.last_offset});
    largest = std::max(largest, timestamp + 3);
  }
  ASSERT_TRUE(log->roll().ok());
  const auto entries = time_index();
  ASSERT_GT(entries.size(), 1u);
  for (size_t i = 0; i < entries.size(); ++i) {
    EXPECT_NE(std::find(batches.begin(), batches.end(), entries[i]), batches.end());
    if (i == 0) continue;
    EXPECT_GT(entries[i].key, entries[i - 1].key);
    EXPECT_GT(entries[i].value, entries[i - 1].value);
  }
  EXPECT_EQ(entries.back().key, largest);
}

TEST_F(UpkeepTest, RecordsAreFoundByTimestampAsByLookingAtEachOne) {
  config.segment_bytes = 3000;
  config.index_interval_bytes = 200;
  open();
  std::vector<int64_t> timestamps;
  for (int i = 0; i < 120; ++i) {
    const int records = 1 + i % 6;
    const int64_t timestamp = kNow + i * 10 + (i * 53) % 70;
    append({.records = records,
            .timestamp = timestamp,
            .timestamp_step = 2 - i % 4,
            .codec = static_cast<record::Codec>(i % 5)});
    for (int k = 0; k < records; ++k) timestamps.push_back(timestamp + k * (2 - i % 4));
  }
  const auto check = [&] {
    for (int64_t target = kNow - 20; target < kNow + 1400; target += 3) {
      const auto found = log->offset_for_timestamp(target);
      ASSERT_TRUE(found.ok());
      const auto expected =
          std::find_if(timestamps.begin(), timestamps.end(),
                       [target](int64_t timestamp) { return timestamp >= target; });
      if (expected == timestamps.end()) {
        ASSERT_EQ(found->offset, -1);
      } else {
        ASSERT_EQ(found->offset, expected - timestamps.begin()) << target;
        ASSERT_EQ(found->timestamp, *expected);
        ASSERT_EQ(found->leader_epoch, 0);
      }
    }
    const auto largest = std::max_element(timestamps.begin(), timestamps.end());
    ASSERT_EQ(log->max_timestamp_offset()->offset, largest - timestamps.begin());
  };
  check();
  close_and_open();
  check();
  crash_and_open();
  check();
}

TEST_F(UpkeepTest, AnEmptyLogHasNoTimestamps) {
  open();
  EXPECT_EQ(log->offset_for_timestamp(0)->offset, -1);
  EXPECT_EQ(log->max_timestamp_offset()->offset, -1);
}

TEST_F(UpkeepTest, TheLargestTimestampIsThatOfARecordThatIsNotDeleted) {
  config.segment_bytes = 1000;
  config.index_interval_bytes = 100;
  open();
  std::vector<int64_t> timestamps;
  for (int i = 0; i < 40; ++i) {
    // The larger ones first; within a batch they fall.
    const int64_t timestamp = kNow + 5000 - 10 * i;
    append({.records = 3, .timestamp = timestamp, .timestamp_step = -2});
    for (int k = 0; k < 3; ++k) timestamps.push_back(timestamp - 2 * k);
  }
  ASSERT_GT(log->segment_count(), 3u);
  for (int64_t start = 1; start < 120; ++start) {
    ASSERT_TRUE(log->advance_log_start_offset(start).ok());
    const auto found = log->max_timestamp_offset();
    ASSERT_TRUE(found.ok());
    const auto largest = std::max_element(timestamps.begin() + start, timestamps.end());
    ASSERT_EQ(found->offset, largest - timestamps.begin());
    ASSERT_EQ(found->timestamp, *largest);
  }
  ASSERT_TRUE(log->advance_log_start_offset(120).ok());
  EXPECT_EQ(log->max_timestamp_offset()->offset, -1);
}

TEST_F(UpkeepTest, WhatIsNeverToBeRemovedIsNotRemovedAtOnce) {
  config.segment_bytes = 300;
  config.file_delete_delay_ms = INT64_MAX;
  open();
  for (int i = 0; i < 12; ++i) append({.value_bytes = 60});
  ASSERT_TRUE(log->advance_log_start_offset(6).ok());
  const auto kept = names_with(".deleted");
  ASSERT_FALSE(kept.empty());
  log->remove_due_files();
  EXPECT_EQ(names_with(".deleted"), kept);
  // What goes under a shorter delay does not wait for them.
  config.file_delete_delay_ms = 1000;
  log->set_config(config);
  ASSERT_TRUE(log->advance_log_start_offset(9).ok());
  ASSERT_GT(names_with(".deleted").size(), kept.size());
  clock.advance_ms(1000);
  log->remove_due_files();
  EXPECT_EQ(names_with(".deleted"), kept);
}

TEST_F(UpkeepTest, TruncationCutsAtABatchAndTheLogGoesOnFromThere) {
  config.segment_bytes = 700;
  config.index_interval_bytes = 100;
  Batches all;
  open();
  for (int i = 0; i < 40; ++i) {
    const AppendInfo info = append({.records = 3}, i / 10);
    all.emplace_back(info.base_offset, info.last_offset);
  }
  for (int64_t offset = 119; offset >= 0; offset -= 7) {
    ASSERT_TRUE(log->truncate_to(offset).ok());
    const auto kept = static_cast<size_t>(offset / 3);  // a batch that holds the offset goes too
    ASSERT_EQ(batches_from(0), Batches(all.begin(), all.begin() + static_cast<ptrdiff_t>(kept)));
    ASSERT_EQ(log->log_end_offset(), static_cast<int64_t>(kept) * 3);
    ASSERT_EQ(log->latest_epoch(), kept == 0 ? -1 : static_cast<int32_t>((kept - 1) / 10));
    crash_and_open();
    ASSERT_EQ(batches_from(0).size(), kept);
    ASSERT_EQ(log->recovery_report().bytes_set_aside, 0u);
  }
  append({.records = 2});
  EXPECT_EQ(log->log_end_offset(), 2);
  EXPECT_TRUE(log->truncate_to(1000).ok());
  EXPECT_EQ(log->log_end_offset(), 2);
}

TEST_F(UpkeepTest, AReaderHoldsWhatItGotThroughTruncationAndDeletion) {
  config.segment_bytes = 700;
  open();
  for (int i = 0; i < 20; ++i) append({.value_bytes = 50});
  const auto slice = log->read(0, 10'000, INT64_MAX, true);
  ASSERT_TRUE(slice.ok());
  const auto before = bytes_of(*slice);
  ASSERT_TRUE(log->mark_deleted().ok());
  EXPECT_EQ(bytes_of(*slice), before);
  EXPECT_FALSE(fs::exists(directory));
  EXPECT_TRUE(log->directory().ends_with("-delete"));
  EXPECT_TRUE(fs::exists(log->directory()));
  EXPECT_EQ(batches_from(0).size(), 20u);
  EXPECT_FALSE(try_append({}).ok());
  auto old = std::move(log);
  open();  // a topic of the same name, made anew
  EXPECT_EQ(log->log_end_offset(), 0);
  append();
  EXPECT_EQ(batches_from(0).size(), 1u);
}

TEST_F(UpkeepTest, AdvancingTheStartRemovesWholeSegmentsBelowIt) {
  config.segment_bytes = 700;
  config.file_delete_delay_ms = 1000;
  open();
  for (int i = 0; i < 40; ++i) append({.value_bytes = 50}, i);
  const size_t segments = log->segment_count();
  ASSERT_TRUE(log->advance_log_start_offset(20).ok());
  EXPECT_EQ(log->log_start_offset(), 20);
  EXPECT_LT(log->segment_count(), segments);
  EXPECT_EQ(log->read(19, 100, INT64_MAX, true).error().code, ErrorCode::kOffsetOutOfRange);
  EXPECT_EQ(log->read(20, 1, INT64_MAX, true)->first_batch_offset, 20);
  EXPECT_EQ(log->epoch_for_offset(19), -1);
  EXPECT_EQ(log->epoch_for_offset(20), 20);
  EXPECT_EQ(log->advance_log_start_offset(41).error().code, ErrorCode::kOffsetOutOfRange);
  EXPECT_FALSE(names_with(".deleted").empty());
  clock.advance_ms(999);
  log->remove_due_files();
  EXPECT_FALSE(names_with(".deleted").empty());
  clock.advance_ms(1);
  log->remove_due_files();
  EXPECT_TRUE(names_with(".deleted").empty());
  crash_and_open();
  EXPECT_EQ(log->log_start_offset(), 20);
  ASSERT_TRUE(log->advance_log_start_offset(40).ok());
  EXPECT_EQ(log->log_end_offset(), 40);
}

TEST_F(UpkeepTest, RetentionRemovesOldSegmentsBelowTheHighWatermark) {
  config.segment_bytes = 700;
  config.retention_ms = 1000;
  open();
  for (int i = 0; i < 40; ++i) append({.value_bytes = 50, .timestamp = kNow + i * 100});
  clock.advance_ms(3000);
  log->maintain(0);
  EXPECT_EQ(log->log_start_offset(), 0);  // nothing is committed yet
  log->maintain(40);
  // A segment goes when its largest timestamp, not its smallest, is too old.
  EXPECT_GT(log->log_start_offset(), 10);
  EXPECT_LE(log->log_start_offset(), 20);
  const int64_t start = log->log_start_offset();
  EXPECT_EQ(batches_from(start).size(), static_cast<size_t>(40 - start));
  clock.advance_ms(100'000);
  log->maintain(39);
  EXPECT_LE(log->read(39, 1, INT64_MAX, true)->first_batch_offset, 39);  // not committed yet
  log->maintain(40);  // the segment being written to is left, and goes too
  EXPECT_EQ(log->log_start_offset(), 40);
  EXPECT_EQ(log->size_bytes(), 0u);
  EXPECT_EQ(append({.timestamp = clock.wall_ms()}).base_offset, 40);
  log->maintain(41);
  EXPECT_EQ(log->log_start_offset(), 40);
  crash_and_open();
  EXPECT_EQ(log->log_start_offset(), 40);
  EXPECT_EQ(log->log_end_offset(), 41);
}

TEST_F(UpkeepTest, RetentionKeepsAtLeastTheBytesAskedFor) {
  config.segment_bytes = 700;
  config.retention_ms = -1;
  config.retention_bytes = 1500;
  open();
  for (int i = 0; i < 40; ++i) append({.value_bytes = 50});
  log->maintain(40);
  EXPECT_GE(log->size_bytes(), 1500u);
  EXPECT_LT(log->size_bytes(), 1500u + 700u);
  config.retention_bytes = 0;
  config.delete_old = false;
  log->set_config(config);
  log->maintain(40);
  EXPECT_GE(log->size_bytes(), 1500u);
}

TEST_F(UpkeepTest, RecordsWithoutTimestampsAreAsOldAsTheirFile) {
  config.retention_ms = 60'000;
  open();
  append({.timestamp = record::kNoTimestamp});
  ASSERT_TRUE(log->roll().ok());
  append();
  // The file's time is the system's, which is years ahead of the test's clock.
  log->maintain(2);
  EXPECT_EQ(log->log_start_offset(), 0);
  fs::last_write_time(log_file(0) + ".log",
                      fs::file_time_type::clock::now() - std::chrono::hours(24 * 365 * 30));
  log->maintain(2);
  EXPECT_EQ(log->log_start_offset(), 1);
}

TEST_F(UpkeepTest, TheFirstMomentOfTheEpochIsAnAgeToo) {
  config.retention_ms = 60'000;
  open();
  append({.timestamp = 0});
  ASSERT_TRUE(log->roll().ok());
  append({.timestamp = kNow - 120'000});
  ASSERT_TRUE(log->roll().ok());
  append();
  log->maintain(3);
  EXPECT_EQ(log->log_start_offset(), 2);
}

TEST_F(UpkeepTest, WhatGoesByAgeCountsForTheSizeToo) {
  config.segment_bytes = 700;
  config.retention_ms = 1000;
  open();
  append({.value_bytes = 500, .timestamp = kNow - 5000});
  for (int i = 0; i < 3; ++i) append({.value_bytes = 250});
  ASSERT_EQ(log->segment_count(), 3u);
  // Without the oldest the rest is small enough, though the second would fit the excess of before.
  config.retention_bytes = static_cast<int64_t>(log->size_bytes()) - 350;
  log->set_config(config);
  ASSERT_TRUE(log->roll().ok());
  log->maintain(4);
  EXPECT_EQ(log->log_start_offset(), 1);
}

TEST_F(UpkeepTest, AFlushIsAskedForByMessagesAndByTime) {
  config.flush_messages = 3;
  config.flush_ms = 1000;
  open();
  EXPECT_FALSE(append({.records = 2}).needs_flush);
  EXPECT_TRUE(append({.records = 1}).needs_flush);
  EXPECT_EQ(*log->flush(), 3);
  EXPECT_EQ(log->recovery_point(), 3);
  EXPECT_FALSE(append({.records = 2}).needs_flush);
  clock.advance_ms(1000);
  EXPECT_TRUE(append({.records = 0 + 1}).needs_flush);
}

TEST_F(UpkeepTest, AnEpochBeginsWithItsLeaderNotWithItsFirstRecord) {
  open();
  log->begin_leader_epoch(0);
  EXPECT_EQ(log->end_offset_for_epoch(0).end_offset, 0);
  EXPECT_EQ(log->epoch_for_offset(0), 0);
  append({}, 0);
  log->begin_leader_epoch(2);
  log->begin_leader_epoch(1);  // known to be over
  EXPECT_EQ(log->latest_epoch(), 2);
  EXPECT_EQ(log->end_offset_for_epoch(0).end_offset, 1);
  EXPECT_EQ(log->end_offset_for_epoch(2).end_offset, 1);
}

TEST_F(UpkeepTest, FollowersBatchesKeepTheirOffsetsAndEpochs) {
  open();
  auto bytes = make_batch({.records = 2, .base_offset = 5, .leader_epoch = 3});
  const auto second = make_batch({.records = 1, .base_offset = 9, .leader_epoch = 4});
  bytes.insert(bytes.end(), second.begin(), second.end());
  const auto appended = log->append_as_follower(bytes);
  ASSERT_TRUE(appended.ok());
  EXPECT_EQ(appended->base_offset, 5);
  EXPECT_EQ(appended->last_offset, 9);
  EXPECT_EQ(batches_from(0), (Batches{{5, 6}, {9, 9}}));
  EXPECT_EQ(log->read(7, 1, INT64_MAX, true)->first_batch_offset, 9);
  EXPECT_EQ(log->epoch_for_offset(9), 4);
  EXPECT_EQ(log->append_as_follower(second).error().code, ErrorCode::kOffsetOutOfRange);
  auto disordered = make_batch({.base_offset = 20});
  const auto below = make_batch({.base_offset = 12});
  disordered.insert(disordered.end(), below.begin(), below.end());
  EXPECT_EQ(log->append_as_follower(disordered).error().code, ErrorCode::kCorruptMessage);
  const auto third = make_batch({.base_offset = 10});
  const ByteView cut_off = ByteView(third).first(third.size() - 1);
  EXPECT_EQ(log->append_as_follower(cut_off).error().code, ErrorCode::kCorruptMessage);
  EXPECT_EQ(log->log_end_offset(), 10);
}

TEST_F(UpkeepTest, AnIdleLogTakesOneSmallFileAndNoDescriptor) {
  open();
  EXPECT_EQ(fds.open_count(), 0u);
  EXPECT_EQ(names_with(""), std::vector<std::string>{"00000000000000000000.log"});
  close_and_open();
  EXPECT_EQ(fds.open_count(), 0u);
}

}  // namespace
}  // namespace barnabas::storage
