// Compaction: what stays, what goes, and when.
#include "clean_fixture.h"

namespace barnabas::storage {
namespace {

TEST_F(CleanTest, TheLastRecordOfEachKeyStaysAtItsOffset) {
  for (int codec = 0; codec < 5; ++codec) {
    fs::remove_all(directory);
    open();
    fill(60, 10, {.codec = static_cast<record::Codec>(codec)});
    ASSERT_GT(log->segment_count(), 2u);
    const auto before = state();
    const auto all = records();
    const CleanStats stats = clean();
    EXPECT_EQ(state(), before);
    EXPECT_LT(records().size(), all.size());
    EXPECT_EQ(log->cleaned_offset(), stats.end_offset);
    EXPECT_EQ(stats.keys, 10u);
    for (const KeyValue& record : records()) {
      EXPECT_EQ(all[static_cast<size_t>(record.offset)], record);
      if (record.offset >= stats.end_offset) continue;
      // Nothing that was overwritten below the clean end is left.
      for (const KeyValue& other : all) {
        const bool newer = other.key == record.key && other.offset > record.offset;
        EXPECT_FALSE(newer && other.offset < stats.end_offset);
      }
    }
    crash_and_open();
    EXPECT_EQ(state(), before);
    EXPECT_EQ(log->recovery_report().bytes_cut, 0u);
    EXPECT_EQ(log->recovery_report().bytes_set_aside, 0u);
  }
}

TEST_F(CleanTest, ABatchThatLosesNothingIsCopiedAsItIs) {
  open();
  for (int i = 0; i < 30; ++i) put({{"key-" + std::to_string(i), std::string(50, 'x')}});
  const auto before = batches();
  const CleanStats stats = clean();
  EXPECT_EQ(batches(), before);
  EXPECT_EQ(stats.bytes_kept, stats.bytes_read);
}

TEST_F(CleanTest, SmallSegmentsAreJoined) {
  open();
  fill(100);
  const size_t before = log->segment_count();
  clean();
  EXPECT_EQ(log->segment_count(), before);  // each was full, and is small now
  fill(100);
  clean();
  EXPECT_LT(log->segment_count(), before + 5);
  for (const auto& name : names_with(".log")) EXPECT_LE(fs::file_size(file(name)), 1200u);
  EXPECT_TRUE(names_with(".cleaned").empty());
  EXPECT_TRUE(names_with(".swap").empty());
}

TEST_F(CleanTest, TombstonesStayUntilTheirHorizon) {
  open();
  put({{"a", "1"}, {"b", "1"}});
  put({{"a", std::nullopt}, {"c", "1"}});
  ASSERT_TRUE(log->roll().ok());
  clean();
  auto left = records();
  ASSERT_EQ(left.size(), 3u);
  EXPECT_EQ(left[1], (KeyValue{2, 1'700'000'000'000, "a", std::nullopt}));
  const auto all = batches();
  const record::BatchView marked{ByteView(all[1])};
  EXPECT_TRUE(marked.has_delete_horizon());
  EXPECT_EQ(marked.base_timestamp(), clock.wall_ms() + 1000);
  // It was set once and for all.
  clock.advance_ms(500);
  put({{"d", "1"}});
  ASSERT_TRUE(log->roll().ok());
  clean();
  EXPECT_EQ(records().size(), 4u);
  clock.advance_ms(500);
  put({{"e", "1"}});
  ASSERT_TRUE(log->roll().ok());
  clean();
  left = records();
  ASSERT_EQ(left.size(), 4u);
  EXPECT_EQ(left[0].key, "b");
  EXPECT_EQ(left[1], (KeyValue{3, 1'700'000'000'001, "c", "1"}));
  EXPECT_EQ(state().count("a"), 0u);
}

TEST_F(CleanTest, AProducersLastSequenceIsKept) {
  open();
  for (int i = 0; i < 6; ++i)
    put({{"k", "1"}}, {.producer_id = 7, .producer_epoch = 0, .base_sequence = i});
  put({{"k", "2"}});
  ASSERT_TRUE(log->roll().ok());
  clean();
  ASSERT_EQ(records().size(), 1u);
  bool empty_batch = false;
  for (const auto& bytes : stored_batches()) {
    const record::BatchView batch{ByteView(bytes)};
    if (batch.record_count() > 0) continue;
    empty_batch = true;
    EXPECT_EQ(batch.producer_id(), 7);
    EXPECT_EQ(batch.last_sequence(), 5);
    EXPECT_EQ(batch.base_offset(), 5);
  }
  EXPECT_TRUE(empty_batch);
  fs::remove(log_file(7) + ".snapshot");
  crash_and_open();
  EXPECT_EQ(
      append_bytes([] {
        record::BatchBuilder builder({.producer_id = 7, .producer_epoch = 0, .base_sequence = 6});
        const std::string key = "k";
        builder.append(1, as_bytes(key), std::nullopt);
        return std::move(builder.build()).value();
      }())
          .base_offset,
      7);
}

TEST_F(CleanTest, RecordsOfAbortedTransactionsGoAndMarkersFollow) {
  open();
  put({{"a", "old"}, {"b", "old"}});               // 0, 1
  put_in_transaction(1, 0, {{"a", "aborted"}});    // 2
  put_in_transaction(2, 0, {{"b", "committed"}});  // 3
  put_marker(1, false);                            // 4
  put_marker(2, true);                             // 5
  put({{"z", "1"}});                               // 6
  ASSERT_TRUE(log->roll().ok());
  clean();
  const auto kept = [this] {
    std::map<int64_t, std::string> values;
    for (const KeyValue& record : records()) values[record.offset] = *record.value;
    return values;
  };
  EXPECT_EQ(kept(), (std::map<int64_t, std::string>{{0, "old"}, {3, "committed"}, {6, "1"}}));
  const auto offsets_of_markers = [this] {
    std::vector<int64_t> offsets;
    for (const auto& bytes : batches()) {
      const record::BatchView batch{ByteView(bytes)};
      if (batch.is_control() && batch.record_count() > 0) offsets.push_back(batch.base_offset());
    }
    return offsets;
  };
  // The markers had records to speak of; the abort's index entry stays with it.
  EXPECT_EQ(offsets_of_markers(), (std::vector<int64_t>{4, 5}));
  const auto index = [this] {
    return read_transaction_index(log_file(0) + ".txnindex", 0, INT64_MAX).value().value().entries;
  };
  EXPECT_EQ(index().size(), 1u);
  // Now there are none of the aborted one: its marker gets a horizon, and goes after that.
  // (Its producer's last batch stayed, empty, for as long as the producer is known.)
  config.producer_id_expiration_ms = 10;
  log->set_config(config);
  clock.advance_ms(11);
  log->maintain(log->log_end_offset());
  put({{"y", "1"}});
  ASSERT_TRUE(log->roll().ok());
  clean();
  EXPECT_EQ(offsets_of_markers(), (std::vector<int64_t>{4, 5}));
  put({{"y", "2"}});
  ASSERT_TRUE(log->roll().ok());
  clean();
  EXPECT_EQ(offsets_of_markers(), (std::vector<int64_t>{4, 5}));
  EXPECT_TRUE(index().empty());
  clock.advance_ms(1000);
  put({{"x", "1"}});
  ASSERT_TRUE(log->roll().ok());
  clean();
  EXPECT_EQ(offsets_of_markers(), (std::vector<int64_t>{5}));
  EXPECT_EQ(kept().at(3), "committed");
}

TEST_F(CleanTest, WhatAProducerCommitsAfterAnAbortIsCompacted) {
  open();
  put({{"a", "old"}, {"b", "old"}});
  put_in_transaction(1, 0, {{"c", "aborted"}});
  put_marker(1, false);
  ASSERT_TRUE(log->roll().ok());
  clean();
  put_in_transaction(1, 1, {{"a", std::nullopt}, {"b", "new"}});
  put_marker(1, true);
  for (int pass = 0; pass < 3; ++pass) {
    put({{"z", std::to_string(pass)}});
    ASSERT_TRUE(log->roll().ok());
    clean();
    // Nor does the deleted key come back when its tombstone has gone.
    for (const KeyValue& record : records()) EXPECT_NE(record.value, "old") << *record.key;
    EXPECT_EQ(state().at("b").value, "new");
    clock.advance_ms(1000);
  }
  EXPECT_EQ(state().count("a"), 0u);
}

TEST_F(CleanTest, OnlyWhatMayBeCleanedIs) {
  config.min_compaction_lag_ms = 1000;
  open();
  const int64_t now = clock.wall_ms();
  put({{"a", "1"}, {"a", "2"}}, {}, now - 5000);
  ASSERT_TRUE(log->roll().ok());
  put({{"a", "3"}}, {}, now);
  ASSERT_TRUE(log->roll().ok());
  put({{"a", "4"}}, {}, now);
  EXPECT_EQ(log->cleanable(log->log_end_offset()).end_offset, 2);
  EXPECT_EQ(log->cleanable(1).end_offset, 0);  // an open transaction begins at 1
  EXPECT_EQ(log->clean(1, {}).value().segments_before, 0u);
  EXPECT_EQ(clean().end_offset, 2);
  EXPECT_EQ(records().size(), 3u);
  clock.advance_ms(1001);
  EXPECT_EQ(clean().end_offset, 3);
  EXPECT_EQ(records().size(), 2u);  // the active segment stays as it is
  config.compact = false;
  log->set_config(config);
  EXPECT_FALSE(log->cleanable(log->log_end_offset()).due);
}

TEST_F(CleanTest, ItIsDueByRatioAndByTime) {
  config.min_cleanable_dirty_ratio = 0.5;
  config.max_compaction_lag_ms = 100'000;
  open();
  fill(60, 1000);
  clean();
  EXPECT_FALSE(log->cleanable(log->log_end_offset()).due);
  put({{"new", "1"}}, {}, clock.wall_ms());
  ASSERT_TRUE(log->roll().ok());
  const Cleanable found = log->cleanable(log->log_end_offset());
  EXPECT_FALSE(found.due);
  EXPECT_GT(found.dirty_ratio(), 0);
  clock.advance_ms(100'001);
  EXPECT_TRUE(log->cleanable(log->log_end_offset()).due);
}

TEST_F(CleanTest, ASmallMapTakesSeveralPasses) {
  config.segment_bytes = 64 << 10;
  open();
  for (int i = 0; i < 400; ++i) {
    std::vector<Put> some;
    for (int k = 0; k < 40; ++k) {
      some.push_back({"key-" + std::to_string((i * 40 + k) % 9000), std::to_string(i)});
    }
    put(some);
  }
  ASSERT_TRUE(log->roll().ok());
  const auto before = state();
  CleanSettings settings;
  settings.dedupe_buffer_bytes = 1;  // as few as there can be: some 10,000 keys less the unlucky
  settings.dedupe_load_factor = 0.5;
  int passes = 0;
  while (log->cleanable(log->log_end_offset()).dirty_bytes > 0) {
    const int64_t clean_before = log->cleaned_offset();
    const CleanStats stats = clean(settings);
    ASSERT_GT(log->cleaned_offset(), clean_before);
    ASSERT_LE(stats.map_bytes, 64u * 4096);
    ++passes;
  }
  EXPECT_GT(passes, 1);
  EXPECT_EQ(state(), before);
}

TEST_F(CleanTest, ACorruptBatchStopsItAndNothingSpreads) {
  open();
  fill(60);
  const auto before = batches();
  const std::string damaged = names_with(".log")[2];
  {
    std::fstream stream(file(damaged), std::ios::binary | std::ios::in | std::ios::out);
    stream.seekp(70);
    stream.put('!');
  }
  const auto cleaned = log->clean(log->log_end_offset(), {});
  ASSERT_FALSE(cleaned.ok());
  EXPECT_EQ(cleaned.error().code, ErrorCode::kCorruptMessage);
  EXPECT_NE(cleaned.error().message.find(damaged), std::string::npos) << cleaned.error().message;
  EXPECT_NE(cleaned.error().message.find("at byte 0"), std::string::npos);
  EXPECT_EQ(log->cleaned_offset(), 0);
  EXPECT_TRUE(names_with(".cleaned").empty());
  EXPECT_EQ(log->size_bytes(), [&] {
    uint64_t bytes = 0;
    for (const auto& batch : before) bytes += batch.size();
    return bytes;
  }());
}

TEST_F(CleanTest, NobodyReadsNothingButEmptyBatches) {
  open();
  for (int i = 0; i < 60; ++i) {
    put({{"k", std::string(100, 'x')}},
        {.producer_id = i % 7, .producer_epoch = 0, .base_sequence = i / 7});
  }
  clean();
  size_t empty = 0;
  for (const auto& bytes : stored_batches())
    empty += bytes.size() == record::kBatchHeaderSize ? 1 : 0;
  EXPECT_GT(empty, 0u);
  for (int64_t offset = 0; offset < log->log_end_offset(); ++offset) {
    const auto slice = log->read(offset, 1, INT64_MAX, true);
    ASSERT_TRUE(slice.ok());
    ASSERT_GT(slice->first_batch_bytes, record::kBatchHeaderSize) << offset;
  }
  // At the end there is no other way to get on.
  put({{"k", std::nullopt}});
  ASSERT_TRUE(log->roll().ok());
  clean();
  config.delete_retention_ms = 0;
  log->set_config(config);
  clock.advance_ms(5000);
  put({{"other", "1"}});
  ASSERT_TRUE(log->roll().ok());
  clean();
  const auto slice = log->read(0, 1, log->log_end_offset() - 1, true);
  ASSERT_TRUE(slice.ok());
  EXPECT_EQ(slice->first_batch_bytes, record::kBatchHeaderSize);
}

TEST_F(CleanTest, ATombstoneThatIsToStayForEverStays) {
  config.delete_retention_ms = INT64_MAX;
  open();
  put({{"k", std::nullopt}});
  ASSERT_TRUE(log->roll().ok());
  for (int round = 0; round < 3; ++round) {
    put({{"other", "1"}});
    ASSERT_TRUE(log->roll().ok());
    clean();
    clock.advance_ms(int64_t{30'000} * 86'400'000);
    ASSERT_EQ(records().front().key, "k");
    ASSERT_FALSE(records().front().value.has_value());
    ASSERT_EQ(records().front().timestamp, 1'700'000'000'000);
  }
}

TEST_F(CleanTest, OffsetsFarApartAreNotJoined) {
  open();
  const auto far = [](int64_t offset) {
    record::BatchBuilder builder({.base_offset = offset});
    const std::string key = std::to_string(offset);
    builder.append(1, as_bytes(key), as_bytes(key));
    return std::move(builder.build()).value();
  };
  ASSERT_TRUE(log->append_as_follower(far(0)).ok());
  ASSERT_TRUE(log->append_as_follower(far(INT32_MAX - 10)).ok());
  ASSERT_TRUE(log->roll().ok());
  ASSERT_TRUE(log->append_as_follower(far(int64_t{INT32_MAX} + 10)).ok());
  ASSERT_TRUE(log->roll().ok());
  clean();
  EXPECT_EQ(log->segment_count(), 3u);
  EXPECT_EQ(records().size(), 3u);
  crash_and_open();
  EXPECT_EQ(records().size(), 3u);
}

TEST_F(CleanTest, GapsOfACompactionOfOldAreNoLoss) {
  open();
  fill(60);
  clean();
  const auto before = state();
  const int64_t cleaned = log->cleaned_offset();
  // The topic is not compacted any more, and its recovery point was lost.
  config.compact = false;
  log.reset();
  LogOpenOptions options;
  options.cleaned_offset = cleaned;
  auto opened = Log::open(directory, {"topic", 0}, config, options, fds, clock);
  ASSERT_TRUE(opened.ok());
  log = std::move(opened).value();
  EXPECT_EQ(log->recovery_report().bytes_set_aside, 0u);
  EXPECT_EQ(state(), before);
}

TEST_F(CleanTest, ABatchWhoseKeysDoNotFitCostsNoPassOverTheOthers) {
  config.segment_bytes = 1 << 20;
  open();
  fill(60);
  ASSERT_TRUE(log->roll().ok());
  clean();
  const int64_t clean_end = log->cleaned_offset();
  std::vector<Put> many;
  for (int k = 0; k < 12'000; ++k) many.push_back({"many-" + std::to_string(k), "1"});
  put(many);
  ASSERT_TRUE(log->roll().ok());
  CleanSettings settings;
  settings.dedupe_buffer_bytes = 1;  // as few as there can be: some 10,000 keys
  const CleanStats stats = clean(settings);
  EXPECT_GT(stats.keys, 0u);
  EXPECT_EQ(stats.end_offset, clean_end);
  EXPECT_EQ(stats.segments_before, 0u);
  EXPECT_EQ(clean().segments_before, 2u);
}

TEST_F(CleanTest, RetentionGoesOnBehindASegmentOfWhichNothingIsLeft) {
  config.delete_old = true;
  config.retention_ms = 60'000;
  open();
  fill(60);
  clean();
  ASSERT_EQ(fs::file_size(log_file(0) + ".log"), 0u);
  clock.advance_ms(61'000);
  // It is as old as its file, and the file's time is the system's, years ahead of the test's clock.
  log->maintain(log->log_end_offset());
  EXPECT_EQ(log->log_start_offset(), 0);
  for (const auto& name : names_with(".log")) {
    fs::last_write_time(file(name),
                        fs::file_time_type::clock::now() - std::chrono::hours(24 * 365 * 30));
  }
  log->maintain(log->log_end_offset());
  EXPECT_EQ(log->log_start_offset(), log->log_end_offset());
}

}  // namespace
}  // namespace barnabas::storage
