// Transactions in a log: what is stable, which were aborted, and what of it outlives a stop.
#include <fstream>

#include "log_fixture.h"
#include "record/end_marker.h"
#include "storage/transaction_index.h"

namespace barnabas::storage {
namespace {

namespace fs = std::filesystem;

class TransactionTest : public LogTest {
 protected:
  TransactionTest() { config.verify_transactions = true; }

  struct Producer {
    int64_t id = 1;
    int16_t epoch = 0;
    int32_t next_sequence = 0;
  };

  static BatchSpec batch_of(const Producer& producer, int records = 1) {
    BatchSpec spec{.records = records,
                   .producer_id = producer.id,
                   .producer_epoch = producer.epoch,
                   .base_sequence = producer.next_sequence,
                   .transactional = true};
    return spec;
  }
  Result<AppendInfo> try_send(Producer& producer, VerificationGuard guard, int records = 1) {
    std::vector<uint8_t> bytes = make_batch(batch_of(producer, records));
    AppendBatch batch;
    batch.bytes = bytes;
    batch.producer.guard = guard;
    auto appended = log->append(batch, 0);
    if (appended.ok()) {
      producer.next_sequence += records;
      log->advance_high_watermark(log->log_end_offset());
    }
    return appended;
  }
  Result<VerificationGuard> verify(const Producer& producer, bool transactions_v2 = false) {
    BARNABAS_ASSIGN(const auto entrance,
                    log->begin_verification(producer.id, producer.epoch, producer.next_sequence,
                                            transactions_v2, "tx"));
    return entrance.guard;
  }
  /// As a client does it whose coordinator knows the partition. Returns the first offset.
  int64_t send(Producer& producer, int records = 1) {
    const auto guard = verify(producer);
    EXPECT_TRUE(guard.ok());
    const auto appended = try_send(producer, *guard, records);
    EXPECT_TRUE(appended.ok()) << appended.error().message;
    return appended.ok() ? appended->base_offset : -1;
  }
  Result<AppendInfo> try_end(const Producer& producer, bool commit, int32_t coordinator_epoch = 0) {
    auto bytes = *record::encode_end_marker({commit, coordinator_epoch}, producer.id,
                                            producer.epoch, clock.wall_ms());
    AppendBatch batch;
    batch.bytes = bytes;
    batch.producer.origin = AppendOrigin::kCoordinator;
    return log->append(batch, 0);
  }
  int64_t end(const Producer& producer, bool commit) {
    const auto appended = try_end(producer, commit);
    EXPECT_TRUE(appended.ok()) << appended.error().message;
    log->advance_high_watermark(log->log_end_offset());
    return appended.ok() ? appended->base_offset : -1;
  }
  int64_t commit(const Producer& producer) { return end(producer, true); }
  /// Notes what the transaction index is to say.
  int64_t abort(const Producer& producer, int64_t first_offset) {
    const int64_t marker = end(producer, false);
    const int64_t unstable = log->first_unstable_offset();
    expected.push_back(
        {producer.id, first_offset, marker, unstable == INT64_MAX ? marker + 1 : unstable});
    return marker;
  }

  std::vector<AbortedTransaction> aborted(int64_t offset, uint64_t max_bytes = 1 << 30,
                                          int64_t end_offset = INT64_MAX) {
    end_offset = std::min(end_offset, log->log_end_offset());
    const auto found = log->read_committed(offset, max_bytes, end_offset, true);
    EXPECT_TRUE(found.ok()) << found.error().message;
    return found.ok() ? found->aborted : std::vector<AbortedTransaction>();
  }
  /// The entries of all `.txnindex` files, in order.
  std::vector<AbortedTransaction> in_files() const {
    std::vector<AbortedTransaction> all;
    for (const std::string& name : names_with(".txnindex")) {
      const auto entries = read_transaction_index(file(name), 0, INT64_MAX);
      EXPECT_TRUE(entries.ok() && *entries) << name;
      all.insert(all.end(), (*entries)->entries.begin(), (*entries)->entries.end());
    }
    return all;
  }
  /// Many short transactions of three producers at once, every second one aborted.
  void run_transactions(int count) {
    std::vector<Producer> producers{{.id = 1}, {.id = 2}, {.id = 3}};
    std::vector<int64_t> firsts;
    for (Producer& producer : producers) firsts.push_back(send(producer));
    for (int i = 0; i < count; ++i) {
      Producer& producer = producers[static_cast<size_t>(i) % 3];
      int64_t& first = firsts[static_cast<size_t>(i) % 3];
      send(producer, 2);
      if (i % 2 == 0) {
        abort(producer, first);
      } else {
        commit(producer);
      }
      first = send(producer);
    }
  }
  void overwrite(const std::string& name, std::streamoff at, char byte) const {
    std::fstream stream(file(name), std::ios::in | std::ios::out | std::ios::binary);
    stream.seekp(at);
    stream.put(byte);
  }

  std::vector<AbortedTransaction> expected;
};

TEST_F(TransactionTest, WhatTheCoordinatorHasVerifiedNobodyAsksFor) {
  open();
  const auto verified = [this](const Producer& producer, std::string_view id = "tx") {
    const auto entrance =
        log->begin_verification(producer.id, producer.epoch, producer.next_sequence, false, id);
    return entrance.ok() && entrance->verified;
  };
  Producer one{.id = 1};
  const VerificationGuard asked = *verify(one);
  EXPECT_FALSE(verified(one));
  log->mark_verified(one.id, one.epoch, "tx");
  EXPECT_TRUE(verified(one));
  EXPECT_FALSE(verified(one, "another"));
  EXPECT_EQ(*verify(one), asked);  // the batch that was asked for may come, too
  EXPECT_FALSE(verified({.id = 2}));
  send(one);
  log->mark_verified(one.id, one.epoch, "tx");  // open: nothing to wait for
  commit(one);
  EXPECT_FALSE(verified(one));  // that was another transaction

  log->mark_verified(one.id, one.epoch, "tx");
  one.epoch = 1;
  EXPECT_FALSE(verified(one));
  one.epoch = 0;
  EXPECT_FALSE(verified(one));  // a later one has been here
}

TEST_F(TransactionTest, TheOldestOpenTransactionIsUnstableUntilItsMarkerIsReplicated) {
  open();
  append();
  EXPECT_EQ(log->first_unstable_offset(), INT64_MAX);
  Producer one{.id = 1};
  Producer two{.id = 2};
  EXPECT_EQ(send(one), 1);
  EXPECT_EQ(send(two), 2);
  EXPECT_EQ(log->first_unstable_offset(), 1);
  ASSERT_TRUE(try_end(one, true).ok());  // offset 3
  log->advance_high_watermark(3);
  EXPECT_EQ(log->first_unstable_offset(), 1);
  log->advance_high_watermark(4);
  EXPECT_EQ(log->first_unstable_offset(), 2);
  commit(two);
  EXPECT_EQ(log->first_unstable_offset(), INT64_MAX);
}

TEST_F(TransactionTest, AMarkerWithoutRecordsBeforeItAbortsNothing) {
  open();
  end({.id = 1}, false);
  EXPECT_EQ(log->first_unstable_offset(), INT64_MAX);
  EXPECT_TRUE(names_with(".txnindex").empty());
}

TEST_F(TransactionTest, AbortsAreFoundByTheRangeThatIsRead) {
  config.index_interval_bytes = 0;  // an entry a batch
  open();
  Producer one{.id = 1};
  Producer two{.id = 2};
  send(one);      // 0
  send(two);      // 1
  abort(one, 0);  // 2, stable up to 1
  send(one);      // 3
  abort(two, 1);  // 4, stable up to 3
  abort(one, 3);  // 5
  append();       // 6
  EXPECT_EQ(aborted(0), expected);
  EXPECT_EQ(aborted(3), (std::vector{expected[1], expected[2]}));
  EXPECT_EQ(aborted(5), (std::vector{expected[2]}));
  EXPECT_TRUE(aborted(6).empty());
  // One batch: what begins behind it does not matter.
  EXPECT_EQ(aborted(0, 1), (std::vector{expected[0]}));
  EXPECT_EQ(aborted(0, 1 << 20, 1), (std::vector{expected[0]}));
}

TEST_F(TransactionTest, AnAbortInALaterSegmentIsFound) {
  config.segment_bytes = 1000;
  open();
  Producer slow{.id = 9};
  send(slow);
  for (int i = 0; i < 40; ++i) append();
  abort(slow, 0);
  ASSERT_GT(log->segment_count(), 2U);
  EXPECT_EQ(aborted(0, 1), expected);
  EXPECT_EQ(names_with(".txnindex").size(), 1U);
}

TEST_F(TransactionTest, TheIndexOutlivesEveryStopAndCrash) {
  config.segment_bytes = 4000;
  open();
  run_transactions(300);
  ASSERT_GT(log->segment_count(), 10U);
  EXPECT_EQ(in_files(), expected);
  const auto before = aborted(0);
  close_and_open();
  EXPECT_EQ(in_files(), expected);
  EXPECT_EQ(aborted(0), before);
  crash_and_open();
  EXPECT_EQ(aborted(0), before);
  for (const std::string& name : names_with(".txnindex")) fs::remove(file(name));
  open(false, 0);  // all of it is read back
  EXPECT_EQ(in_files(), expected);
  EXPECT_EQ(aborted(0), before);
  EXPECT_NE(log->first_unstable_offset(), INT64_MAX);
}

TEST_F(TransactionTest, ManyAbortsOfOneSegmentAreSearchedInTheFile) {
  open();
  run_transactions(2000);
  ASSERT_EQ(expected.size(), 1000U);
  for (const size_t from : {0, 1, 500, 930, 999}) {
    const int64_t offset = expected[from].last_offset;
    const std::vector<AbortedTransaction> wanted(expected.begin() + static_cast<ptrdiff_t>(from),
                                                 expected.end());
    EXPECT_EQ(aborted(offset), wanted) << from;
  }
  // Of a short range only few are told.
  EXPECT_LE(aborted(expected[500].last_offset, 1).size(), 100U);
}

TEST_F(TransactionTest, ADamagedIndexIsRebuiltWhenTheLogIsOpened) {
  config.segment_bytes = 4000;
  open();
  run_transactions(100);
  const auto before = aborted(0);
  ASSERT_TRUE(log->close().ok());
  const auto names = names_with(".txnindex");
  ASSERT_GT(names.size(), 3U);
  overwrite(names[0], 1, 7);            // version
  fs::resize_file(file(names[1]), 33);  // no whole entry
  overwrite(names[2], 18, 0x7f);        // beyond the segment
  open(true, log->recovery_point());
  EXPECT_EQ(in_files(), expected);
  EXPECT_EQ(aborted(0), before);
}

TEST_F(TransactionTest, IndexesThatAreAllGoneAreRebuilt) {
  config.segment_bytes = 4000;
  open();
  run_transactions(100);
  const auto before = aborted(0);
  ASSERT_TRUE(log->close().ok());
  for (const char* file_suffix : {".index", ".timeindex", ".txnindex"}) {
    for (const std::string& name : names_with(file_suffix)) fs::remove(file(name));
  }
  open(true, log->recovery_point());
  EXPECT_EQ(in_files(), expected);
  EXPECT_EQ(aborted(0), before);
}

TEST_F(TransactionTest, AnIndexDamagedWhileItIsInUseFailsReadsUntilItIsRebuilt) {
  open();
  run_transactions(400);
  const auto before = aborted(0);
  overwrite(names_with(".txnindex")[0], 34, 7);
  const auto found = log->read_committed(0, 1 << 20, log->log_end_offset(), true);
  ASSERT_FALSE(found.ok());
  EXPECT_EQ(found.error().code, ErrorCode::kKafkaStorageError);
  log->maintain(log->log_end_offset());
  EXPECT_EQ(aborted(0), before);
  EXPECT_EQ(in_files(), expected);
}

TEST_F(TransactionTest, AnIndexThatCannotBeWrittenIsKeptInMemoryAndHoldsFlushesUp) {
  open();
  Producer one{.id = 1};
  const std::string in_the_way = log_file() + ".txnindex";
  fs::create_directory(in_the_way);
  abort(one, send(one));
  EXPECT_EQ(aborted(0), expected);
  EXPECT_FALSE(log->flush().ok());
  EXPECT_EQ(log->recovery_point(), 0);
  EXPECT_FALSE(log->offline());
  fs::remove(in_the_way);
  abort(one, send(one));
  EXPECT_TRUE(log->flush().ok());
  EXPECT_EQ(log->recovery_point(), 4);
  EXPECT_EQ(in_files(), expected);
}

TEST_F(TransactionTest, TruncationTakesTransactionsBack) {
  config.segment_bytes = 4000;
  open();
  run_transactions(60);
  const int64_t marker = expected[10].last_offset;
  ASSERT_TRUE(log->truncate_to(marker).ok());
  expected.resize(10);
  EXPECT_EQ(in_files(), expected);
  // Its transaction is open again.
  EXPECT_LE(log->first_unstable_offset(), marker);
  crash_and_open();
  EXPECT_EQ(in_files(), expected);
  EXPECT_LE(log->first_unstable_offset(), marker);
}

TEST_F(TransactionTest, AMarkerIsReadBackWhereverItLies) {
  // Logs are read back in pieces, and one may end between a marker's header and its record.
  for (size_t bytes = 200; bytes < 420; ++bytes) {
    SCOPED_TRACE(std::to_string(bytes) + " bytes between them");
    fs::remove_all(directory);
    open();
    Producer producer;
    send(producer);
    append({.value_bytes = bytes});
    commit(producer);
    append();
    ASSERT_TRUE(log->truncate_to(log->log_end_offset() - 1).ok());
    ASSERT_EQ(log->first_unstable_offset(), INT64_MAX);
  }
}

TEST_F(TransactionTest, RetentionTakesTheIndexWithItsSegment) {
  config.segment_bytes = 4000;
  config.file_delete_delay_ms = 0;
  open();
  run_transactions(100);
  ASSERT_TRUE(log->advance_log_start_offset(log->log_end_offset() - 5).ok());
  log->remove_due_files();
  EXPECT_LE(names_with(".txnindex").size(), log->segment_count());
  for (const AbortedTransaction& left : in_files()) {
    EXPECT_GE(left.last_offset, expected[expected.size() - 30].last_offset);
  }
}

TEST_F(TransactionTest, AProducerInATransactionDoesNotExpire) {
  config.producer_id_expiration_ms = 1000;
  open();
  Producer one{.id = 1};
  send(one);
  clock.advance_ms(5000);
  log->maintain(log->log_end_offset());
  ASSERT_EQ(log->producers().size(), 1U);
  EXPECT_EQ(log->producers()[0].current_txn_start_offset, 0);
  commit(one);
  clock.advance_ms(5000);
  log->maintain(log->log_end_offset());
  EXPECT_TRUE(log->producers().empty());
}

TEST_F(TransactionTest, ATransactionBeginsOnlyWithAGuard) {
  open();
  Producer one{.id = 1};
  const auto refused = try_send(one, kNoGuard);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::kInvalidTxnState);
  EXPECT_EQ(refused.error().message, "Record was not part of an ongoing transaction");
  const auto guard = verify(one);
  EXPECT_FALSE(try_send(one, *guard + 1).ok());
  EXPECT_TRUE(try_send(one, *guard).ok());
  EXPECT_EQ(*verify(one), kNoGuard);
  EXPECT_TRUE(try_send(one, kNoGuard).ok());
}

TEST_F(TransactionTest, AMarkerBetweenVerificationAndAppendTakesTheGuard) {
  open();
  Producer one{.id = 1};
  const auto guard = verify(one);
  end(one, false);
  const auto late = try_send(one, *guard);
  ASSERT_FALSE(late.ok());
  EXPECT_EQ(late.error().code, ErrorCode::kInvalidTxnState);
  EXPECT_EQ(log->first_unstable_offset(), INT64_MAX);
}

TEST_F(TransactionTest, TheMarkerOfTheTransactionBeforeTakesNoGuardUnderTransactionsV2) {
  open();
  Producer one{.id = 1};
  send(one);
  one = {.id = 1, .epoch = 1};  // from the end of the transaction on; its marker has it, too
  const VerificationGuard guard = *verify(one, true);
  commit(one);
  EXPECT_TRUE(try_send(one, guard).ok());

  Producer two{.id = 2};
  const VerificationGuard late = *verify(two, true);
  commit({.id = 2, .epoch = 1});  // of the very transaction that was to begin
  EXPECT_FALSE(try_send(two, late).ok());
}

TEST_F(TransactionTest, AHigherSequenceDoesNotOvertakeTheOneThatIsToBegin) {
  open();
  Producer one{.id = 1};
  const auto guard = verify(one);
  Producer ahead = one;
  ahead.next_sequence = 5;
  EXPECT_EQ(*verify(ahead), *guard);
  const auto refused = try_send(ahead, *guard);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::kOutOfOrderSequenceNumber);
  EXPECT_TRUE(try_send(one, *guard, 5).ok());
  EXPECT_TRUE(try_send(ahead, kNoGuard).ok());
}

TEST_F(TransactionTest, TransactionsV2DemandSequenceZeroOfANewProducer) {
  open();
  Producer expired{.id = 1, .next_sequence = 7};
  const auto refused = try_send(expired, *verify(expired, true));
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::kOutOfOrderSequenceNumber);
  Producer older{.id = 2, .next_sequence = 7};
  EXPECT_TRUE(try_send(older, *verify(older, false)).ok());
}

TEST_F(TransactionTest, AFencedProducerLearnsItBeforeAnybodyIsAsked) {
  open();
  Producer one{.id = 1, .epoch = 3};
  send(one);
  const auto refused = verify({.id = 1, .epoch = 2});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::kInvalidProducerEpoch);
}

TEST_F(TransactionTest, ALateCoordinatorIsFenced) {
  open();
  Producer one{.id = 1};
  send(one);
  ASSERT_TRUE(try_end(one, true, 5).ok());
  const auto late = try_end(one, true, 4);
  ASSERT_FALSE(late.ok());
  EXPECT_EQ(late.error().code, ErrorCode::kTransactionCoordinatorFenced);
  close_and_open();
  EXPECT_EQ(try_end(one, true, 4).error().code, ErrorCode::kTransactionCoordinatorFenced);
}

TEST_F(TransactionTest, AnIndexThatHasGoneAfterACleanStopIsMissed) {
  config.segment_bytes = 2000;
  open();
  run_transactions(60);
  const std::vector<int64_t> known = log->last_aborts();
  ASSERT_TRUE(log->close().ok());
  const auto names = names_with(".txnindex");
  ASSERT_EQ(known.size(), names.size());
  ASSERT_GT(names.size(), 2u);
  LogOpenOptions options;
  options.clean_shutdown = true;
  options.recovery_point = log->log_end_offset();
  options.last_aborts = known;
  const auto damage = [&](int how, const std::string& path) {
    if (how == 0) fs::remove(path);
    if (how == 1) fs::resize_file(path, 0);
    if (how == 2) fs::resize_file(path, fs::file_size(path) - kAbortedEntryBytes);
    if (how == 3) fs::resize_file(path, fs::file_size(path) - 1);
  };
  for (int how = 0; how < 4; ++how) {
    for (const std::string& name : names) {
      SCOPED_TRACE(name + ", damage " + std::to_string(how));
      damage(how, file(name));
      log.reset();
      auto opened = Log::open(directory, {"topic", 0}, config, options, fds, clock);
      ASSERT_TRUE(opened.ok());
      log = std::move(opened).value();
      EXPECT_EQ(in_files(), expected);
      EXPECT_EQ(aborted(0, 1, log->log_end_offset()).empty(), false);
      EXPECT_EQ(log->last_aborts(), known);
      ASSERT_TRUE(log->close().ok());
    }
  }
}

}  // namespace
}  // namespace barnabas::storage
