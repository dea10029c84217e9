// Bits that flip in what no CRC covers: where a batch says that it begins, how long it is, by which
// leader it was written. Each bit of a header in its turn: it is found, or it does no harm.
#include "clean_fixture.h"

namespace barnabas::storage {
namespace {

std::vector<uint8_t> content(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void write_content(const std::string& path, ByteView bytes) {
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()),
             static_cast<std::streamsize>(bytes.size()));
}

/// A batch in a file.
struct Place {
  std::string path;
  uint64_t position = 0;
  int64_t base_offset = 0;
  int64_t next_offset = 0;
};

constexpr size_t kEpochBegin = record::field::kLeaderEpoch;
constexpr size_t kEpochEnd = record::field::kMagicByte;
constexpr size_t kHeaderBits = 8 * record::kBatchHeaderSize;
/// What no CRC covers, and what says how many offsets a batch has.
constexpr size_t kPlaceBits = 8 * record::field::kBaseTimestamp;

bool is_epoch(size_t bit) { return bit / 8 >= kEpochBegin && bit / 8 < kEpochEnd; }

class OrderTest : public CleanTest {
 protected:
  OrderTest() {
    config.segment_bytes = 700;
    config.index_interval_bytes = 150;
  }
  void never_compact() {
    config.compact = false;
    config.delete_old = true;
  }
  void fill_plainly(int batches, int records = 1) {
    log->begin_leader_epoch(3);
    for (int i = 0; i < batches; ++i) append({.records = records, .value_bytes = 40}, 3);
  }
  [[nodiscard]] std::vector<Place> batches_in(size_t segment) const {
    const std::string path = file(names_with(".log").at(segment));
    const auto bytes = content(path);
    std::vector<Place> all;
    ByteView rest(bytes);
    while (const auto batch = record::peek_batch(rest)) {
      all.push_back({path, bytes.size() - rest.size(), batch->base_offset(), batch->next_offset()});
      rest = rest.subspan(batch->size_bytes());
    }
    return all;
  }
  /// The n-th batch of a segment, from its end when negative.
  [[nodiscard]] Place batch_at(size_t segment, int n) const {
    const auto all = batches_in(segment);
    return all.at(n < 0 ? all.size() - static_cast<size_t>(-n) : static_cast<size_t>(n));
  }
  static void flip(const Place& place, size_t bit) {
    auto bytes = content(place.path);
    bytes[place.position + bit / 8] ^= static_cast<uint8_t>(1 << (7 - bit % 8));
    write_content(place.path, bytes);
  }
  /// Keeps the directory as it is; back() makes it that again, and no log is open.
  void keep() {
    kept_.clear();
    for (const auto& name : names_with("")) kept_[name] = content(file(name));
  }
  void back() {
    log.reset();
    for (const auto& name : names_with("")) {
      if (!kept_.contains(name)) fs::remove(file(name));
    }
    for (const auto& [name, bytes] : kept_) write_content(file(name), bytes);
  }
  std::map<std::string, std::vector<uint8_t>> segment_files() {
    std::map<std::string, std::vector<uint8_t>> files;
    for (const auto& name : names_with(".log")) files[name] = content(file(name));
    return files;
  }
  /// Whoever asks for an offset gets its batch, one that is plainly corrupt, or an error if it was
  /// in the one at `place`.
  void expect_no_offset_is_passed_over(const Place& place, int64_t end) {
    for (int64_t offset = 0; offset < end; ++offset) {
      const auto slice = log->read(offset, 1, INT64_MAX, true);
      if (!slice.ok()) {
        ASSERT_EQ(slice.error().code, ErrorCode::kCorruptMessage) << offset;
        ASSERT_NE(slice.error().message.find(place.path), std::string::npos)
            << slice.error().message;
        continue;
      }
      const auto bytes = bytes_of(*slice);
      const auto batch = record::peek_batch(bytes);
      if (!batch || crc32c(batch->crc_payload()) != batch->crc()) continue;
      ASSERT_LE(batch->base_offset(), offset);
      ASSERT_GE(batch->last_offset(), offset);
    }
  }

 private:
  std::map<std::string, std::vector<uint8_t>> kept_;
};

TEST_F(OrderTest, TheScrubberFindsEveryBitOfAHeaderInAnOldSegment) {
  never_compact();
  open();
  fill_plainly(16);
  ASSERT_GT(log->segment_count(), 2u);
  ASSERT_TRUE(log->close().ok());
  const int64_t end = log->log_end_offset();
  keep();
  for (const int n : {0, 1, -1}) {
    const Place place = batch_at(1, n);
    for (size_t bit = 0; bit < (n == 1 ? kHeaderBits : kPlaceBits); ++bit) {
      SCOPED_TRACE("batch " + std::to_string(n) + ", bit " + std::to_string(bit));
      flip(place, bit);
      const auto before = segment_files();
      open(true, end);
      const auto findings = log->scrub({});
      ASSERT_EQ(findings->size(), 1u);
      ASSERT_NE(findings->front().message.find(place.path), std::string::npos);
      ASSERT_NE(findings->front().message.find("at byte " + std::to_string(place.position)),
                std::string::npos)
          << findings->front().message;
      ASSERT_EQ(segment_files(), before);
      ASSERT_EQ(log->log_end_offset(), end);
      expect_no_offset_is_passed_over(place, end);
      back();
    }
  }
}

TEST_F(OrderTest, OnlyTheBatchThatIsOutOfPlaceCannotBeReadByItsOffset) {
  never_compact();
  open();
  fill_plainly(30);
  ASSERT_TRUE(log->close().ok());
  const int64_t end = log->log_end_offset();
  const Place place = batch_at(1, 1);
  for (const size_t bit : {size_t{47}, size_t{61}}) {  // up, far; up or down, near
    keep();
    flip(place, bit);
    open(true, end);
    for (int64_t offset = 0; offset < end; ++offset) {
      const bool hit = offset >= place.base_offset && offset < place.next_offset;
      const auto slice = log->read(offset, 1, INT64_MAX, true);
      ASSERT_EQ(slice.ok(), !hit) << offset;
      const auto copied = log->read_to_copy(offset);
      ASSERT_EQ(copied.ok(), !hit) << offset;
      if (hit) continue;
      ASSERT_LE(slice->first_batch_offset, offset);
      ASSERT_EQ(slice->first_batch_offset, copied->first_batch_offset);
    }
    EXPECT_EQ(log->truncate_to(place.base_offset).error().code, ErrorCode::kCorruptMessage);
    EXPECT_EQ(log->log_end_offset(), end);
    back();
  }
}

TEST_F(OrderTest, ABatchThatWasFoundOutOfPlaceIsNotSentBehindAnotherOne) {
  never_compact();
  open();
  fill_plainly(30);
  ASSERT_TRUE(log->close().ok());
  const Place before = batch_at(1, 0);
  const Place place = batch_at(1, 1);
  const Place behind = batch_at(1, 2);
  ASSERT_EQ(batch_at(1, -1).path, place.path);
  keep();
  flip(place, 47);
  for (const bool by_scrubber : {true, false}) {
    SCOPED_TRACE(by_scrubber);
    open(true, 30);
    if (by_scrubber) {
      ASSERT_EQ(log->scrub({})->size(), 1u);
    } else {
      ASSERT_FALSE(log->read(place.base_offset, 1 << 20, INT64_MAX, true).ok());
    }
    const auto slice = log->read(before.base_offset, 1 << 20, INT64_MAX, true);
    ASSERT_TRUE(slice.ok());
    EXPECT_EQ(slice->file.position + slice->file.length, place.position);
    const auto rest = log->read(behind.base_offset, 1 << 20, INT64_MAX, true);
    ASSERT_TRUE(rest.ok());
    EXPECT_EQ(rest->file.position, behind.position);
    EXPECT_EQ(rest->file.position + rest->file.length, fs::file_size(place.path));
    log.reset();
  }
  back();
}

TEST_F(OrderTest, ATimestampIsNotFoundAtAnOffsetThatNobodyCanRead) {
  never_compact();
  open();
  for (int i = 0; i < 30; ++i) append({.value_bytes = 40, .timestamp = 1'700'000'000'000 + i});
  ASSERT_TRUE(log->close().ok());
  const Place place = batch_at(1, 1);
  flip(place, 47);
  open(true, 30);
  const auto found = log->offset_for_timestamp(1'700'000'000'000 + place.base_offset);
  ASSERT_TRUE(found.ok()) << found.error().message;
  EXPECT_EQ(found->offset, place.next_offset);
}

TEST_F(OrderTest, TheProducersBehindABatchThatIsOutOfPlaceAreKnown) {
  never_compact();
  open();
  for (int i = 0; i < 30; ++i) {
    append({.value_bytes = 40, .producer_id = 100 + i, .base_sequence = 0});
  }
  ASSERT_TRUE(log->close().ok());
  const Place place = batch_at(1, 1);
  flip(place, 47);
  for (const auto& name : names_with(".snapshot")) fs::remove(file(name));
  open(true, 30);
  std::vector<int64_t> unknown;
  for (int i = 0; i < 30; ++i) {
    const auto again = append({.value_bytes = 40, .producer_id = 100 + i, .base_sequence = 0});
    if (!again.duplicate) unknown.push_back(i);
  }
  EXPECT_EQ(unknown, std::vector<int64_t>{place.base_offset});
}

/// What loading leaves of a log in whose active segment one bit of a header has flipped.
class LoadOrderTest : public OrderTest {
 protected:
  void fill_one_segment(bool compact) {
    config.compact = compact;
    config.delete_old = !compact;
    config.segment_bytes = 100'000;
    config.index_interval_bytes = 100'000;  // so that a clean stop's walk is over all of it
    open();
    fill_plainly(12, 2);
    ASSERT_TRUE(log->close().ok());
    end = log->log_end_offset();
    keep();
  }
  /// It is cut where the batch is, and what is cut is all there; or it is as it was.
  void expect_nothing_lost(const Place& place, ByteView damaged) {
    ASSERT_LE(log->log_end_offset(), end);
    if (log->log_end_offset() == end) {
      ASSERT_EQ(log->recovery_report().bytes_set_aside, 0u);
      ASSERT_EQ(content(place.path), std::vector<uint8_t>(damaged.begin(), damaged.end()));
      return;
    }
    ASSERT_EQ(log->log_end_offset(), place.base_offset);
    ASSERT_EQ(fs::file_size(place.path), place.position);
    const RecoveryReport& report = log->recovery_report();
    ASSERT_EQ(report.bytes_cut, 0u);
    const auto aside = content(report.set_aside_path);
    const ByteView cut = damaged.subspan(place.position);
    ASSERT_EQ(aside, std::vector<uint8_t>(cut.begin(), cut.end()));
  }

  int64_t end = 0;
};

TEST_F(LoadOrderTest, AfterACleanStopNoBitMakesTheLogEndElsewhereOrLosesABatch) {
  for (const bool compact : {false, true}) {
    fill_one_segment(compact);
    for (const int n : {0, 5, -1}) {
      const Place place = batch_at(0, n);
      for (size_t bit = 0; bit < (n == 5 ? kHeaderBits : kPlaceBits); ++bit) {
        SCOPED_TRACE((compact ? "compact, batch " : "batch ") + std::to_string(n) + ", bit " +
                     std::to_string(bit));
        flip(place, bit);
        const auto damaged = content(place.path);
        open(true, end);
        expect_nothing_lost(place, damaged);
        // What is outside of the CRC and changes where batches are.
        if (bit / 8 < kEpochBegin) {
          ASSERT_EQ(log->log_end_offset(), place.base_offset);
        }
        back();
      }
    }
    fs::remove_all(directory);
  }
}

TEST_F(LoadOrderTest, AfterACrashEveryBitButAnEpochsIsFound) {
  fill_one_segment(false);
  for (const int n : {0, 5, -1}) {
    const Place place = batch_at(0, n);
    for (size_t bit = 0; bit < (n == 5 ? kHeaderBits : kPlaceBits); ++bit) {
      SCOPED_TRACE("batch " + std::to_string(n) + ", bit " + std::to_string(bit));
      flip(place, bit);
      const auto damaged = content(place.path);
      open(false, 0);
      if (is_epoch(bit)) {
        ASSERT_EQ(log->log_end_offset(), end);
        // Behind the last batch there is nothing to tell a wrong epoch by.
        if (n != -1) {
          ASSERT_EQ(log->latest_epoch(), 3);
        }
      } else if (n == -1 && bit / 8 >= 8) {
        // No whole batch: as a write that was under way.
        ASSERT_EQ(log->log_end_offset(), place.base_offset);
      } else {
        ASSERT_EQ(log->log_end_offset(), place.base_offset);
        expect_nothing_lost(place, damaged);
      }
      back();
    }
  }
}

TEST_F(LoadOrderTest, TheOddBatchIsCutNotTheGoodOnesBehindIt) {
  fill_one_segment(false);
  const Place place = batch_at(0, 5);
  flip(place, 47);
  open(true, end);
  EXPECT_EQ(log->log_end_offset(), place.base_offset);
  EXPECT_NE(log->recovery_report().reason.find("where " + std::to_string(place.base_offset) +
                                               " was expected"),
            std::string::npos)
      << log->recovery_report().reason;
  EXPECT_EQ(append().base_offset, place.base_offset);
}

TEST_F(LoadOrderTest, WhatACleanStopLeftAndIsGoneIsNoticed) {
  fill_one_segment(false);
  const Place last = batch_at(0, -1);
  fs::resize_file(last.path, last.position);
  open(true, end);
  EXPECT_EQ(log->log_end_offset(), last.base_offset);
  EXPECT_TRUE(log->recovery_report().checked);
}

TEST_F(OrderTest, AGapThatCompactionLeftIsNoneThatRecoveryCuts) {
  open();
  fill(40);
  clean();
  ASSERT_TRUE(log->flush().ok());
  const auto before = state();
  const int64_t end = log->log_end_offset();
  never_compact();  // cleanup.policy changes; what is there stays as it is
  for (const bool clean_stop : {false, true}) {
    SCOPED_TRACE(clean_stop);
    if (clean_stop) {
      ASSERT_TRUE(log->close().ok());
    }
    log.reset();
    // Every segment is checked: nothing tells but the checkpoint of what is compacted.
    LogOpenOptions options;
    options.clean_shutdown = clean_stop;
    options.cleaned_offset = end;
    auto opened = Log::open(directory, {"topic", 0}, config, options, fds, clock);
    ASSERT_TRUE(opened.ok());
    log = std::move(opened).value();
    EXPECT_EQ(log->log_end_offset(), end);
    EXPECT_EQ(state(), before);
    EXPECT_EQ(log->scrub({})->size(), 0u);
  }
}

/// Compaction of a log with one bit flipped.
class CleanOrderTest : public OrderTest {
 protected:
  CleanOrderTest() { config.segment_bytes = 1500; }
  /// The batches in the files follow each other, and each lies where its segment is.
  void expect_in_order() {
    const auto names = names_with(".log");
    int64_t expected = 0;
    for (size_t n = 0; n < names.size(); ++n) {
      const int64_t base = std::stoll(names[n]);
      ASSERT_LE(expected, base);
      expected = base;
      const auto bytes = content(file(names[n]));
      ByteView rest(bytes);
      while (const auto batch = record::peek_batch(rest)) {
        ASSERT_GE(batch->base_offset(), expected) << names[n];
        expected = batch->next_offset();
        rest = rest.subspan(batch->size_bytes());
      }
    }
    ASSERT_LE(expected, log->log_end_offset());
  }
  std::map<std::string, std::optional<std::string>> values() {
    std::map<std::string, std::optional<std::string>> found;
    for (const auto& [key, record] : state()) found[key] = record.value;
    return found;
  }
  /// Flips each bit in turn; `certain`: every one but an epoch's is found.
  void expect_nothing_spreads(const Place& place, int64_t cleaned, bool certain, size_t bits) {
    const int64_t end = log->log_end_offset();
    const auto before = values();
    ASSERT_TRUE(log->close().ok());
    keep();
    size_t found = 0;
    for (size_t bit = 0; bit < bits; ++bit) {
      SCOPED_TRACE(bit);
      flip(place, bit);
      const auto files = segment_files();
      log.reset();
      LogOpenOptions options;
      options.clean_shutdown = true;
      options.recovery_point = end;
      options.cleaned_offset = cleaned;
      log = Log::open(directory, {"topic", 0}, config, options, fds, clock).value();
      const auto result = log->clean(end, {});
      if (result.ok()) {
        expect_in_order();
        ASSERT_EQ(values(), before);
        ASSERT_TRUE(is_epoch(bit) || !certain);
      } else {
        ++found;
        ASSERT_EQ(result.error().code, ErrorCode::kCorruptMessage);
        ASSERT_NE(result.error().message.find(place.path), std::string::npos);
        ASSERT_NE(result.error().message.find(" at byte "), std::string::npos);
        // Segments before it may have been compacted: they are in its group or before that.
        ASSERT_EQ(content(place.path), files.at(place.path.substr(directory.size() + 1)));
        ASSERT_TRUE(names_with(".cleaned").empty());
      }
      ASSERT_EQ(log->log_end_offset(), end);
      back();
    }
    EXPECT_GE(found, bits - 8 * (kEpochEnd - kEpochBegin) - (certain ? 0 : 16));
  }
};

TEST_F(CleanOrderTest, NoBitSpreadsFromALogThatWasNeverCompacted) {
  open();
  fill(20);
  ASSERT_GT(log->segment_count(), 3u);
  expect_nothing_spreads(batch_at(1, 1), 0, true, kHeaderBits);
}

TEST_F(CleanOrderTest, NoBitSpreadsFromTheLastBatchOfASegment) {
  open();
  fill(20);
  expect_nothing_spreads(batch_at(1, -1), 0, true, kPlaceBits);
}

TEST_F(CleanOrderTest, NoBitSpreadsFromALogThatWasCompacted) {
  open();
  fill(30, 23);
  clean();
  const int64_t cleaned = log->cleaned_offset();
  fill(10, 7);
  size_t segment = 0;
  while (batches_in(segment).size() < 3) ++segment;
  ASSERT_LT(batch_at(segment, 2).base_offset, cleaned);
  // There are gaps that an offset can move in, in which it does nobody harm.
  expect_nothing_spreads(batch_at(segment, 1), cleaned, false, kPlaceBits);
}

}  // namespace
}  // namespace barnabas::storage
