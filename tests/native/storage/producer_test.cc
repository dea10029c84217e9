// Idempotent producers: retries, gaps, epochs, and what of it outlives a stop.
#include <fstream>

#include "log_fixture.h"
#include "storage/producer_loader.h"
#include "storage/producer_state.h"

namespace barnabas::storage {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kId = 4000;

class ProducerTest : public LogTest {
 protected:
  static BatchSpec batch(int32_t sequence, int records = 1, int16_t epoch = 0, int64_t id = kId) {
    return {
        .records = records, .producer_id = id, .producer_epoch = epoch, .base_sequence = sequence};
  }
  /// Where each batch went, by its first sequence.
  void send(int32_t sequence, int records = 1, int64_t id = kId) {
    sent.push_back({sequence, records, id, append(batch(sequence, records, 0, id))});
  }
  /// The last five of the producer are answered as duplicates, older ones refused.
  void expect_memory(int64_t id = kId) {
    int remembered = 0;
    for (auto it = sent.rbegin(); it != sent.rend(); ++it) {
      if (it->id != id) continue;
      const auto retried = try_append(batch(it->sequence, it->records, 0, id));
      if (++remembered <= 5) {
        ASSERT_TRUE(retried.ok()) << "sequence " << it->sequence << ": " << retried.error().message;
        EXPECT_TRUE(retried->duplicate);
        EXPECT_EQ(retried->base_offset, it->info.base_offset);
        EXPECT_EQ(retried->last_offset, it->info.last_offset);
      } else {
        ASSERT_FALSE(retried.ok());
        EXPECT_EQ(retried.error().code, ErrorCode::kOutOfOrderSequenceNumber);
      }
    }
  }

  struct Sent {
    int32_t sequence;
    int records;
    int64_t id;
    AppendInfo info;
  };
  std::vector<Sent> sent;
};

TEST_F(ProducerTest, ARetryOfTheLastFiveBatchesGetsItsFirstOffsets) {
  open();
  for (int i = 0; i < 8; ++i) send(i * 3, 3);
  const int64_t end = log->log_end_offset();
  expect_memory();
  EXPECT_EQ(log->log_end_offset(), end);
}

TEST_F(ProducerTest, AGapIsRefusedAndChangesNothing) {
  open();
  send(0, 2);
  EXPECT_EQ(append_error(batch(3)), ErrorCode::kOutOfOrderSequenceNumber);
  EXPECT_EQ(append_error(batch(1)), ErrorCode::kOutOfOrderSequenceNumber);
  EXPECT_EQ(append_error(batch(2)), ErrorCode::kNone);
}

TEST_F(ProducerTest, APartOfABatchIsNoDuplicate) {
  open();
  send(0, 4);
  EXPECT_EQ(append_error(batch(0, 3)), ErrorCode::kOutOfOrderSequenceNumber);
}

TEST_F(ProducerTest, AnUnknownProducerMayStartAnywhere) {
  open();
  EXPECT_EQ(append_error(batch(77)), ErrorCode::kNone);
  EXPECT_EQ(append_error(batch(78)), ErrorCode::kNone);
}

TEST_F(ProducerTest, AnOldEpochIsFencedAndANewOneStartsAtZero) {
  open();
  EXPECT_EQ(append_error(batch(0, 1, 3)), ErrorCode::kNone);
  EXPECT_EQ(append_error(batch(1, 1, 2)), ErrorCode::kInvalidProducerEpoch);
  EXPECT_EQ(append_error(batch(1, 1, 4)), ErrorCode::kOutOfOrderSequenceNumber);
  EXPECT_EQ(append_error(batch(0, 1, 4)), ErrorCode::kNone);
  EXPECT_EQ(append_error(batch(1, 1, 3)), ErrorCode::kInvalidProducerEpoch);
}

TEST_F(ProducerTest, SequencesWrapAroundToZero) {
  open();
  send(INT32_MAX - 4, 3);  // ends at MAX-2
  send(INT32_MAX - 1, 4);  // MAX-1, MAX, 0, 1
  send(2, 1);
  expect_memory();
  EXPECT_EQ(append_error(batch(3)), ErrorCode::kNone);
  close_and_open();
  EXPECT_EQ(append_error(batch(4)), ErrorCode::kNone);
}

TEST_F(ProducerTest, AnExpiredProducerIsForgotten) {
  config.producer_id_expiration_ms = 1000;
  open();
  send(0);
  clock.advance_ms(999);
  log->maintain(log->log_end_offset());
  EXPECT_EQ(append_error(batch(9)), ErrorCode::kOutOfOrderSequenceNumber);
  clock.advance_ms(1);
  log->maintain(log->log_end_offset());
  EXPECT_EQ(append_error(batch(9)), ErrorCode::kNone);
}

TEST_F(ProducerTest, OldTimestampsOfRecordsAgeNoProducer) {
  open();
  for (int i = 0; i < 5; ++i) {
    BatchSpec spec = batch(i);
    spec.timestamp = clock.wall_ms() - 10 * config.producer_id_expiration_ms;
    sent.push_back({i, 1, kId, append(spec)});
  }
  crash_and_open();
  expect_memory();
  close_and_open();
  log->maintain(log->log_end_offset());
  expect_memory();
  clock.advance_ms(config.producer_id_expiration_ms);
  close_and_open();
  EXPECT_EQ(append_error(batch(99)), ErrorCode::kNone);  // forgotten
}

TEST_F(ProducerTest, FiveBatchesAroundTheWrapAreRememberedAcrossACleanStop) {
  open();
  send(INT32_MAX - 3);
  for (int i = 2; i >= 0; --i) send(INT32_MAX - i);
  send(0);
  close_and_open();
  expect_memory();
}

TEST_F(ProducerTest, FiveVeryLargeBatchesAreRememberedAcrossACleanStop) {
  open();
  constexpr size_t kBytes = kWalkBackBytes / 4;
  for (int i = 0; i < 6; ++i) {
    BatchSpec spec = batch(i);
    spec.value_bytes = kBytes;
    sent.push_back({i, 1, kId, append(spec)});
  }
  close_and_open();
  expect_memory();
}

TEST_F(ProducerTest, FiveBatchesAreRememberedAcrossACleanStop) {
  open();
  for (int i = 0; i < 9; ++i) send(i * 2, 2);
  close_and_open();
  expect_memory();
  close_and_open();  // nothing was written: the snapshot is the same
  expect_memory();
}

TEST_F(ProducerTest, FiveBatchesAreRememberedAcrossACrash) {
  open();
  for (int i = 0; i < 9; ++i) send(i * 2, 2);
  crash_and_open();
  expect_memory();
}

TEST_F(ProducerTest, FiveBatchesAreRememberedAcrossRollsStopsAndCrashes) {
  config.segment_bytes = 400;
  config.index_interval_bytes = 100;
  open();
  for (int round = 0; round < 30; ++round) {
    for (int64_t id = kId; id < kId + 3; ++id) send(round * 2, 2, id);
    if (round % 5 == 1) close_and_open();
    if (round % 5 == 3) {
      ASSERT_TRUE(log->flush().ok());
      crash_and_open();
    }
    if (round % 7 == 5) {
      ASSERT_TRUE(log->roll().ok());
    }
    for (int64_t id = kId; id < kId + 3; ++id) expect_memory(id);
  }
  EXPECT_GT(log->segment_count(), 10u);
}

TEST_F(ProducerTest, OthersWritingMuchInBetweenDoesNotShortenTheMemory) {
  config.segment_bytes = 1 << 20;
  open();
  for (int i = 0; i < 6; ++i) {
    send(i);
    for (int k = 0; k < 8; ++k) append({.value_bytes = 100'000});
  }
  ASSERT_GT(log->size_bytes(), 4u << 20);
  close_and_open();
  expect_memory();
  crash_and_open();
  expect_memory();
}

TEST_F(ProducerTest, ADamagedOrMissingSnapshotIsMadeUpForFromTheLog) {
  config.segment_bytes = 500;
  for (int kind = 0; kind < 4; ++kind) {
    fs::remove_all(directory);
    sent.clear();
    open();
    for (int i = 0; i < 30; ++i) send(i);
    ASSERT_TRUE(log->close().ok());
    const auto names = names_with(".snapshot");
    ASSERT_GT(names.size(), 3u);
    for (size_t n = kind == 3 ? 0 : names.size() - 2; n < names.size(); ++n) {
      if (kind == 0) std::ofstream(file(names[n])) << "";
      if (kind == 1) fs::resize_file(file(names[n]), fs::file_size(file(names[n])) - 1);
      if (kind == 2) std::fstream(file(names[n])).seekp(20) << "x";
      if (kind == 3) fs::remove(file(names[n]));
    }
    open(true, log->log_end_offset());
    expect_memory();
  }
}

TEST_F(ProducerTest, SnapshotsAreKeptForSegmentsAndTheCleanStopOnly) {
  config.segment_bytes = 500;
  open();
  for (int i = 0; i < 20; ++i) send(i);
  close_and_open();
  send(20);
  close_and_open();
  const auto snapshots = names_with(".snapshot");
  auto logs = names_with(".log");
  std::vector<std::string> expected;
  for (size_t n = 1; n < logs.size(); ++n) expected.push_back(logs[n].substr(0, 20) + ".snapshot");
  char last[48];
  std::snprintf(last, sizeof last, "%020d.snapshot", 21);
  expected.emplace_back(last);
  EXPECT_EQ(snapshots, expected);
}

TEST_F(ProducerTest, TruncationTakesTheProducersBackToo) {
  config.segment_bytes = 600;
  open();
  for (int i = 0; i < 20; ++i) send(i);
  ASSERT_TRUE(log->truncate_to(8).ok());
  EXPECT_EQ(log->log_end_offset(), 8);
  sent.resize(8);
  expect_memory();
  EXPECT_EQ(append_error(batch(9)), ErrorCode::kOutOfOrderSequenceNumber);
  send(8);
  crash_and_open();
  expect_memory();
}

TEST_F(ProducerTest, ATransactionsMarkerEndsItAndKeepsTheSequence) {
  open();
  BatchSpec first = batch(0);
  first.transactional = true;
  append(first);
  EXPECT_EQ(append_error(batch(1)), ErrorCode::kInvalidTxnState);
  record::BatchOptions options;
  options.producer_id = kId;
  options.producer_epoch = 0;
  options.transactional = true;
  options.control = true;
  record::BatchBuilder builder(options);
  const uint8_t key[4] = {0, 0, 0, 1};          // version 0, commit
  const uint8_t value[6] = {0, 0, 0, 0, 0, 9};  // version 0, coordinator epoch 9
  builder.append(1'700'000'000'000, ByteView(key), ByteView(value));
  auto marker = *builder.build();
  store_be<int64_t>(marker.data(), log->log_end_offset());
  ASSERT_TRUE(log->append_as_follower(marker).ok());
  EXPECT_EQ(append_error(batch(1)), ErrorCode::kNone);
}

}  // namespace
}  // namespace barnabas::storage
