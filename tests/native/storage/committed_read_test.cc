// Reads of what was committed, while the log changes its shape under them.
#include <thread>

#include "base/faulty_file_system.h"
#include "clean_fixture.h"

namespace barnabas::storage {
namespace {

constexpr int64_t kAbortingProducer = 7;

class CommittedReadTest : public CleanTest {
 protected:
  CommittedReadTest() {
    config.delete_old = true;
    config.retention_ms = 60'000;
    config.file_delete_delay_ms = 0;
    config.segment_bytes = 1 << 20;
  }
  ~CommittedReadTest() override {
    log.reset();
    set_file_system(nullptr);
  }

  /// Four closed segments; the second one has an aborted transaction from offset_ on.
  void make_log() {
    log.reset();
    fs::remove_all(directory);
    open();
    for (int segment = 0; segment < 4; ++segment) {
      put_some();
      if (segment == 1) {
        offset_ = log->log_end_offset();
        for (int i = 0; i < 8; ++i) {
          put_in_transaction(kAbortingProducer, i,
                             {{"a" + std::to_string(i), std::string(100, 'a')}});
        }
        put_marker(kAbortingProducer, false);
        put_some();
      }
      ASSERT_TRUE(log->roll().ok());
    }
    put_some();
  }
  void put_some() {
    for (int i = 0; i < 10; ++i) {
      put({{"key-" + std::to_string(log->log_end_offset()), std::string(100, 'v')}});
    }
  }
  Result<CommittedSlice> read() {
    return log->read_committed(offset_, 400, log->log_end_offset(), true);
  }
  /// How many times a read asks for bytes of a file.
  uint64_t count_calls() {
    const uint64_t watched = files_.add({FileCall::kRead, {"*"}, FaultEffect::kFail, 0, 1'000'000});
    EXPECT_TRUE(read().ok());
    const uint64_t calls = files_.count(watched).matched;
    files_.remove(watched);
    return calls;
  }
  uint64_t hold(uint64_t nth) {
    return files_.add({FileCall::kRead, {"*"}, FaultEffect::kHold, 0, nth, 1});
  }
  bool has_struck(uint64_t fault) {
    for (int i = 0; i < 10'000 && files_.count(fault).struck == 0; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return files_.count(fault).struck == 1;
  }
  static bool is_told(const record::BatchView& batch,
                      const std::vector<AbortedTransaction>& aborted) {
    return std::ranges::any_of(aborted, [&batch](const AbortedTransaction& one) {
      return one.producer_id == batch.producer_id() && one.first_offset <= batch.base_offset() &&
             one.last_offset > batch.last_offset();
    });
  }
  /// Records that were aborted, and those of them that pass for committed ones.
  static std::pair<int, int> aborted_in(const CommittedSlice& slice) {
    std::pair<int, int> found;
    const std::vector<uint8_t> bytes = bytes_of(slice);
    for (ByteView rest(bytes); const auto batch = record::peek_batch(rest);) {
      rest = rest.subspan(batch->size_bytes());
      if (batch->producer_id() != kAbortingProducer || batch->is_control()) continue;
      found.first += batch->record_count();
      if (!is_told(*batch, slice.aborted)) found.second += batch->record_count();
    }
    return found;
  }
  /// A read that is held at each of its calls in turn, while `change` is made.
  void check(const std::function<void()>& change, ErrorCode allowed = ErrorCode::kNone) {
    make_log();
    EXPECT_EQ(aborted_in(*read()), (std::pair{2, 0}));
    const uint64_t calls = count_calls();
    ASSERT_GT(calls, 3u);
    for (uint64_t nth = 1; nth <= calls; ++nth) {
      SCOPED_TRACE("held at call " + std::to_string(nth) + " of " + std::to_string(calls));
      make_log();
      const uint64_t held = hold(nth);
      std::optional<Result<CommittedSlice>> found;
      std::thread reader([&] { found.emplace(read()); });
      EXPECT_TRUE(has_struck(held));
      change();
      files_.remove(held);
      reader.join();
      if (found->ok()) {
        EXPECT_EQ(aborted_in(**found).second, 0);
      } else {
        EXPECT_EQ(found->error().code, allowed) << found->error().message;
      }
    }
  }

  FaultyFileSystem& files_ = FaultyFileSystem::instance();
  int64_t offset_ = 0;
};

TEST_F(CommittedReadTest, SegmentsThatCompactionJoins) {
  check([this] { EXPECT_EQ(clean().segments_after, 1u); });
}

TEST_F(CommittedReadTest, SegmentsThatCompactionLeavesAsManyAsTheyWere) {
  check([this] {
    config.segment_bytes = 1;
    log->set_config(config);
    EXPECT_EQ(clean().segments_after, 4u);
    config.segment_bytes = 1 << 20;
  });
}

TEST_F(CommittedReadTest, DeletedRecords) {
  check([this] { EXPECT_TRUE(log->advance_log_start_offset(log->log_end_offset() - 1).ok()); },
        ErrorCode::kOffsetOutOfRange);
}

TEST_F(CommittedReadTest, RecordsDeletedInOlderSegmentsOnly) {
  check([this] { EXPECT_TRUE(log->advance_log_start_offset(offset_).ok()); });
}

TEST_F(CommittedReadTest, Retention) {
  check(
      [this] {
        clock.advance_ms(61'000);
        log->maintain(log->log_end_offset());
        EXPECT_EQ(log->segment_count(), 1u);
      },
      ErrorCode::kOffsetOutOfRange);
}

TEST_F(CommittedReadTest, ALogThatNeverStopsChangingIsNotReadWrongly) {
  make_log();
  for (int i = 0; i < 20; ++i) {
    put_some();
    ASSERT_TRUE(log->roll().ok());
  }
  offset_ = log->log_end_offset();
  put_in_transaction(kAbortingProducer, 8, {{"a", "aborted"}});
  put_marker(kAbortingProducer, false);
  ASSERT_TRUE(log->roll().ok());
  const uint64_t calls = count_calls();
  uint64_t held = hold(calls);
  std::optional<Result<CommittedSlice>> found;
  std::thread reader([&] { found.emplace(read()); });
  int changes = 0;
  for (; changes < 8; ++changes) {
    EXPECT_TRUE(has_struck(held));
    EXPECT_TRUE(log->advance_log_start_offset(log->log_start_offset() + 30).ok());
    const uint64_t next = hold(calls);
    files_.remove(held);
    held = next;
  }
  reader.join();
  files_.remove(held);
  EXPECT_EQ(found->error().code, ErrorCode::kKafkaStorageError);
  EXPECT_EQ(aborted_in(*read()), (std::pair{1, 0}));
}

}  // namespace
}  // namespace barnabas::storage
