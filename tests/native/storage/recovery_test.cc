// What opening does after a crash: torn tails, corruption, leftovers.
#include <fcntl.h>
#include <unistd.h>

#include <fstream>

#include "log_fixture.h"

namespace barnabas::storage {
namespace {

namespace fs = std::filesystem;
using Batches = std::vector<std::pair<int64_t, int64_t>>;

void write_file(const std::string& path, ByteView bytes) {
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()),
             static_cast<std::streamsize>(bytes.size()));
}

class RecoveryTest : public LogTest {
 protected:
  /// Appends and remembers the batches and where each ends in its file.
  void fill(int batches, size_t value_bytes = 30) {
    for (int i = 0; i < batches; ++i) {
      const AppendInfo info = append({.records = 1 + i % 3, .value_bytes = value_bytes});
      expected.emplace_back(info.base_offset, info.last_offset);
      ends.push_back(fs::file_size(log_file(log->active_segment_base_offset()) + ".log"));
    }
  }
  /// How many batches end at or before `bytes`.
  [[nodiscard]] size_t whole_in(uint64_t bytes) const {
    return static_cast<size_t>(std::upper_bound(ends.begin(), ends.end(), bytes) - ends.begin());
  }
  void expect_first(size_t count) {
    ASSERT_EQ(batches_from(0), Batches(expected.begin(), expected.begin() + count));
    ASSERT_EQ(log->log_end_offset(), count == 0 ? 0 : expected[count - 1].second + 1);
  }

  Batches expected;
  std::vector<uint64_t> ends;
};

TEST_F(RecoveryTest, ATailTruncatedAtAnyByteIsCutAtTheRightBatch) {
  config.index_interval_bytes = 200;
  open();
  fill(12);
  log.reset();
  const std::string path = log_file() + ".log";
  const auto whole = read_file(path);
  for (uint64_t size = 0; size <= whole.size(); ++size) {
    write_file(path, ByteView(whole).first(size));
    open();
    const size_t kept = whole_in(size);
    expect_first(kept);
    const uint64_t good = kept == 0 ? 0 : ends[kept - 1];
    ASSERT_EQ(log->recovery_report().bytes_cut, size - good);
    ASSERT_EQ(log->recovery_report().bytes_set_aside, 0u) << size;
    ASSERT_EQ(log->recovery_report().reason.empty(), size == good);
    ASSERT_EQ(fs::file_size(path), good);
  }
  EXPECT_TRUE(names_with(".corrupt").empty());
}

TEST_F(RecoveryTest, AZeroFilledTailOfAnyLengthIsCut) {
  open();
  fill(4);
  log.reset();
  const std::string path = log_file() + ".log";
  const auto whole = read_file(path);
  for (const uint64_t start : {uint64_t{0}, ends[0], ends[2] + 7, ends[3]}) {
    for (const uint64_t zeroes : {1u, 11u, 12u, 60u, 61u, 62u, 4096u, 70'000u, 3'000'000u}) {
      std::vector<uint8_t> bytes(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(start));
      bytes.resize(start + zeroes, 0);
      write_file(path, bytes);
      open();
      expect_first(whole_in(start));
      ASSERT_EQ(log->recovery_report().bytes_set_aside, 0u);
      ASSERT_GE(log->recovery_report().bytes_cut, zeroes);
    }
  }
}

TEST_F(RecoveryTest, WhatComesAfterACutIsAppendedWhereTheLogEnds) {
  open();
  fill(5);
  log.reset();
  fs::resize_file(log_file() + ".log", ends[4] - 1);
  open();
  expected.resize(4);
  ends.resize(4);
  fill(3);
  crash_and_open();
  expect_first(7);
}

TEST_F(RecoveryTest, ABadBatchBeforeGoodOnesIsCorruptionAndSetAside) {
  open();
  fill(10);
  log.reset();
  const std::string path = log_file() + ".log";
  auto bytes = read_file(path);
  const auto original = bytes;
  bytes[ends[4] + record::kBatchHeaderSize] ^= 0x40;
  write_file(path, bytes);
  open();
  expect_first(5);
  const RecoveryReport& report = log->recovery_report();
  EXPECT_EQ(report.bytes_cut, 0u);
  EXPECT_EQ(report.bytes_set_aside, bytes.size() - ends[4]);
  EXPECT_EQ(report.set_aside_path, path + ".corrupt-" + std::to_string(ends[4]));
  EXPECT_NE(report.reason.find("CRC"), std::string::npos);
  const std::vector<uint8_t> cut(bytes.begin() + static_cast<ptrdiff_t>(ends[4]), bytes.end());
  EXPECT_EQ(read_file(report.set_aside_path), cut);
}

TEST_F(RecoveryTest, ABitFlippedAnywhereNeverLosesGoodBatchesSilently) {
  open();
  fill(4);
  log.reset();
  const std::string path = log_file() + ".log";
  const auto whole = read_file(path);
  // The base offset and the leader epoch lie outside the CRC: skip what no check can see.
  for (uint64_t at = ends[1]; at < ends[2]; ++at) {
    const uint64_t in_batch = at - ends[1];
    if (in_batch < 8 || (in_batch >= 12 && in_batch < 16)) continue;
    auto bytes = whole;
    bytes[at] ^= 0x01;
    write_file(path, bytes);
    open();
    expect_first(2);
    ASSERT_EQ(log->recovery_report().bytes_set_aside, whole.size() - ends[1]) << in_batch;
  }
}

TEST_F(RecoveryTest, SegmentsBehindABadBatchAreSetAside) {
  config.segment_bytes = 500;
  open();
  fill(20);
  ASSERT_GT(log->segment_count(), 3u);
  log.reset();
  const auto names = names_with(".log");
  const std::string second = file(names[1]);
  auto bytes = read_file(second);
  bytes[bytes.size() - 1] ^= 1;  // its last batch
  write_file(second, bytes);
  open();
  EXPECT_EQ(log->segment_count(), 2u);
  EXPECT_GT(log->recovery_report().bytes_set_aside, 0u);
  EXPECT_FALSE(log->recovery_report().set_aside_path.empty());
  EXPECT_EQ(names_with(".corrupt-0").size(), names.size() - 2);
  const auto found = batches_from(0);
  EXPECT_TRUE(std::equal(found.begin(), found.end(), expected.begin()));
  append();
  crash_and_open();
  EXPECT_EQ(batches_from(0).size(), found.size() + 1);
}

TEST_F(RecoveryTest, AnEmptySegmentOfAnInterruptedRollStays) {
  open();
  fill(3);
  const int64_t end = log->log_end_offset();
  log.reset();
  write_file(log_file(end) + ".log", {});
  open();
  expect_first(3);
  EXPECT_EQ(log->segment_count(), 2u);
  fill(2);
  crash_and_open();
  expect_first(5);
}

TEST_F(RecoveryTest, AnEmptySegmentBeyondALostTailGoes) {
  config.segment_bytes = 500;
  open();
  fill(6);
  ASSERT_TRUE(log->roll().ok());
  const auto names = names_with(".log");
  log.reset();
  const std::string holder = file(names[names.size() - 2]);
  fs::resize_file(holder, fs::file_size(holder) - 5);
  open();
  EXPECT_EQ(log->log_end_offset(), expected[4].second + 1);
  EXPECT_EQ(log->segment_count(), names.size() - 1);
  append();
  EXPECT_EQ(batches_from(0).size(), 6u);
}

TEST_F(RecoveryTest, NothingBelowTheRecoveryPointsSegmentIsReadAgain) {
  config.segment_bytes = 500;
  open();
  fill(20);
  ASSERT_TRUE(log->flush().ok());
  EXPECT_EQ(log->recovery_point(), log->log_end_offset());
  const uint64_t total = log->size_bytes();
  crash_and_open();
  EXPECT_TRUE(log->recovery_report().checked);
  EXPECT_LT(log->recovery_report().bytes_checked, total / 2);
  expect_first(20);
}

TEST_F(RecoveryTest, MissingOrDamagedIndexesAreRebuilt) {
  config.segment_bytes = 3000;
  config.index_interval_bytes = 100;
  const auto damage = [&](const std::string& name, int kind) {
    const std::string path = file(name);
    if (kind == 0) fs::remove(path);
    if (kind == 1) fs::resize_file(path, fs::file_size(path) - 1);
    if (kind == 2) write_file(path, std::vector<uint8_t>(fs::file_size(path), 0));
    if (kind == 3) write_file(path, std::vector<uint8_t>(fs::file_size(path), 0xee));
    if (kind == 4) fs::resize_file(path, 0);
    if (kind == 5) fs::resize_file(path, 10 << 20);  // a preallocated one
  };
  open();
  fill(120);
  ASSERT_TRUE(log->close().ok());
  const int64_t end = log->log_end_offset();
  const auto before_offsets = read_file(file(names_with(".index")[0]));
  const auto before_times = read_file(file(names_with(".timeindex")[0]));
  for (int kind = 0; kind <= 5; ++kind) {
    for (const char* index_suffix : {".index", ".timeindex"}) {
      for (const auto& name : names_with(index_suffix)) damage(name, kind);
      open(true, end);
      EXPECT_FALSE(log->recovery_report().checked);
      expect_first(120);
      ASSERT_TRUE(log->close().ok());
      if (kind == 4) continue;  // an empty offset index is a valid one, only slow
      EXPECT_EQ(read_file(file(names_with(".index")[0])), before_offsets) << kind;
      EXPECT_EQ(read_file(file(names_with(".timeindex")[0])), before_times) << kind;
    }
  }
}

TEST_F(RecoveryTest, DamageInTheMiddleOfAnIndexIsNoticedWhenItIsUsed) {
  config.segment_bytes = 100'000;
  config.index_interval_bytes = 100;
  open();
  fill(500);
  ASSERT_TRUE(log->roll().ok());
  append();
  ASSERT_TRUE(log->close().ok());
  const std::string path = log_file() + ".index";
  auto bytes = read_file(path);
  for (size_t entry = 10; entry + 10 < bytes.size() / 8; ++entry) bytes[entry * 8 + 7] ^= 0x15;
  write_file(path, bytes);
  open(true, log->log_end_offset());
  for (size_t n = 0; n < expected.size(); n += 7) {
    const auto slice = log->read(expected[n].first, 1, INT64_MAX, true);
    ASSERT_TRUE(slice.ok());
    EXPECT_EQ(slice->first_batch_offset, expected[n].first);
  }
  log->maintain(log->log_end_offset());
  EXPECT_NE(read_file(path), bytes);
  expected.emplace_back(log->log_end_offset() - 1, log->log_end_offset() - 1);
  expect_first(expected.size());
}

TEST_F(RecoveryTest, DeletedCleanedAndTemporaryLeftoversGo) {
  open();
  fill(3);
  log.reset();
  for (const char* name : {"00000000000000000000.log.deleted", "00000000000000000007.log.cleaned",
                           "00000000000000000007.index.cleaned",
                           "00000000000000000002.snapshot.tmp", "00000000000000000099.index"}) {
    write_file(file(name), std::vector<uint8_t>(10));
  }
  open();
  expect_first(3);
  EXPECT_EQ(
      names_with(".deleted").size() + names_with(".cleaned").size() + names_with(".tmp").size(),
      0u);
  EXPECT_FALSE(fs::exists(file("00000000000000000099.index")));
}

TEST_F(RecoveryTest, AFinishedCompactionIsSwappedIn) {
  config.segment_bytes = 300;
  open();
  fill(9);
  ASSERT_GE(log->segment_count(), 4u);
  log.reset();
  // The first three segments' batches 0 and 3 survive, in one new segment.
  const auto names = names_with(".log");
  std::vector<uint8_t> compacted;
  for (const size_t n : {size_t{0}, size_t{1}, size_t{2}}) {
    const auto bytes = read_file(file(names[n]));
    compacted.insert(compacted.end(), bytes.begin(), bytes.end());
  }
  write_file(log_file(0) + ".log.swap", compacted);
  open();
  expect_first(9);
  EXPECT_EQ(names_with(".log").size(), names.size() - 2);
  EXPECT_TRUE(names_with(".swap").empty());
}

TEST_F(RecoveryTest, ASwapOfAnUnfinishedSplitIsDropped) {
  open();
  fill(3);
  log.reset();
  write_file(log_file(0) + ".log.swap", std::vector<uint8_t>(20));
  write_file(log_file(0) + ".log.cleaned", std::vector<uint8_t>(20));
  open();
  expect_first(3);
}

TEST_F(RecoveryTest, TheEpochFileIsRebuiltFromTheLog) {
  config.segment_bytes = 300;
  open();
  for (int epoch = 1; epoch <= 6; ++epoch) {
    append({.records = 2}, epoch);
    append({.records = 2}, epoch);
  }
  const std::string path = file("leader-epoch-checkpoint");
  const auto check = [&] {
    EXPECT_EQ(log->latest_epoch(), 6);
    for (int64_t offset = 0; offset < 24; ++offset) {
      ASSERT_EQ(log->epoch_for_offset(offset), 1 + offset / 4);
    }
    EXPECT_EQ(log->end_offset_for_epoch(2).end_offset, 8);
    EXPECT_EQ(log->end_offset_for_epoch(6).end_offset, 24);
    EXPECT_EQ(log->end_offset_for_epoch(7).leader_epoch, -1);
  };
  check();
  crash_and_open();
  check();
  close_and_open();
  check();
  const auto good = read_file(path);
  EXPECT_EQ(as_text(good).substr(0, 11), "0\n6\n1 0\n2 4");
  ASSERT_TRUE(log->close().ok());
  write_file(path, as_bytes("0\n6\n1 0\n2 x"));
  open(true, 24);
  check();
  fs::remove(path);
  crash_and_open();
  check();
}

TEST_F(RecoveryTest, ALogThatEndsBeforeItsStartOffsetStartsOverThere) {
  open();
  fill(3);
  log.reset();
  open(false, 0, 1000);
  EXPECT_EQ(log->log_start_offset(), 1000);
  EXPECT_EQ(log->log_end_offset(), 1000);
  EXPECT_EQ(append().base_offset, 1000);
}

TEST_F(RecoveryTest, ReadOnlyOpeningChangesNoFile) {
  config.segment_bytes = 500;
  open();
  fill(10);
  log.reset();
  const auto names = names_with("");
  const std::string path = file(names_with(".log").back());
  fs::resize_file(path, fs::file_size(path) - 1);
  fs::remove(log_file() + ".index");
  const auto before = names_with("");
  const auto size = fs::file_size(path);
  LogOpenOptions options;
  options.read_only = true;
  options.clean_shutdown = true;
  auto opened = Log::open(directory, {"topic", 0}, config, options, fds, clock);
  ASSERT_TRUE(opened.ok()) << opened.error().message;
  log = std::move(opened).value();
  expect_first(9);
  EXPECT_FALSE(try_append({}).ok());
  EXPECT_FALSE(log->flush().ok());
  log->maintain(0);
  EXPECT_EQ(names_with(""), before);
  EXPECT_EQ(fs::file_size(path), size);
}

}  // namespace
}  // namespace barnabas::storage
