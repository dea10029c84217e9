// Moving a log to another log directory while it is in use.
#include <fcntl.h>

#include <atomic>
#include <chrono>
#include <fstream>
#include <string_view>
#include <thread>

#include "base/faulty_file_system.h"
#include "log_fixture.h"
#include "record/end_marker.h"

namespace barnabas::storage {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMovedProducer = 5;
constexpr int64_t kAborter = 6;

class MoveTest : public LogTest {
 protected:
  MoveTest() : target(root.path() + "/other") {
    fs::create_directory(target);
    config.segment_bytes = 2000;
    config.index_interval_bytes = 200;
  }
  ~MoveTest() override { clear_fault(); }

  void SetUp() override { open(); }

  void append_some(int count, int32_t leader_epoch = 0) {
    for (int i = 0; i < count; ++i) {
      append({.records = 2,
              .value_bytes = 50,
              .producer_id = kMovedProducer,
              .base_sequence = 2 * sequence++},
             leader_epoch);
    }
  }
  void abort_one() {
    append({.producer_id = kAborter, .transactional = true});
    auto marker = record::encode_end_marker({false, 0}, kAborter, 0, clock.wall_ms());
    ASSERT_TRUE(marker.ok());
    AppendBatch batch;
    batch.bytes = *marker;
    batch.producer.origin = AppendOrigin::kCoordinator;
    ASSERT_TRUE(log->append(batch, 0).ok());
    log->advance_high_watermark(log->log_end_offset());
  }

  void make_copy(int64_t start_offset = 0) {
    LogOpenOptions options;
    options.log_start_offset = start_offset;
    auto made =
        Log::open(target + "/topic-0.0123-future", {"topic", 0}, config, options, fds, clock);
    ASSERT_TRUE(made.ok()) << made.error().message;
    copy = std::move(made).value();
  }
  Status fill_copy(uint64_t chunk_bytes = 700) {
    for (;;) {
      const auto copied = copy_batches(*log, *copy, chunk_bytes);
      if (!copied.ok()) return copied.error();
      if (*copied == 0) return {};
    }
  }
  Result<std::string> move_log() {
    return log->move_to(*copy, [this] {
      durable_before_names_change = copy->recovery_point();
      return Status();
    });
  }
  void reopen_moved(int64_t recovery_point) {
    log.reset();
    LogOpenOptions options;
    options.recovery_point = recovery_point;
    auto opened = Log::open(target + "/topic-0", {"topic", 0}, config, options, fds, clock);
    ASSERT_TRUE(opened.ok()) << opened.error().message;
    log = std::move(opened).value();
  }

  void strike(FileCall call, uint64_t nth) {
    clear_fault();
    fault_ = FaultyFileSystem::instance().add(
        {call, {root.path() + "*"}, FaultEffect::kFail, EIO, nth, 1});
  }
  void clear_fault() {
    if (fault_ != 0) FaultyFileSystem::instance().remove(fault_);
    fault_ = 0;
  }
  [[nodiscard]] bool struck() const {
    return FaultyFileSystem::instance().count(fault_).struck > 0;
  }

  const std::string target;
  std::unique_ptr<Log> copy;
  int32_t sequence = 0;
  int64_t durable_before_names_change = -1;

 private:
  uint64_t fault_ = 0;
};

TEST_F(MoveTest, AMovedLogIsTheSameLog) {
  append_some(30);
  abort_one();
  append_some(30, 3);
  const auto before = batches_from(0);
  const size_t producers = log->producers().size();
  make_copy();
  ASSERT_TRUE(fill_copy().ok());
  append_some(5, 3);  // what the move itself has to copy
  auto expected = batches_from(0);
  ASSERT_GT(expected.size(), before.size());

  const auto moved = move_log();
  ASSERT_TRUE(moved.ok()) << moved.error().message;
  EXPECT_EQ(durable_before_names_change, log->log_end_offset());
  EXPECT_EQ(log->directory(), target + "/topic-0");
  EXPECT_EQ(moved->substr(0, directory.size() + 1), directory + ".");
  EXPECT_TRUE(moved->ends_with("-delete"));
  EXPECT_FALSE(fs::exists(directory));
  copy.reset();
  fs::remove_all(*moved);

  const auto check = [&] {
    EXPECT_EQ(batches_from(0), expected);
    EXPECT_EQ(log->producers().size(), producers);
    EXPECT_EQ(log->latest_epoch(), 3);
    EXPECT_EQ(log->epoch_for_offset(0), 0);
    EXPECT_EQ(log->end_offset_for_epoch(0).end_offset, before[before.size() - 30].first);
    const auto slice = log->read_committed(60, 100, INT64_MAX, true);
    ASSERT_TRUE(slice.ok());
    ASSERT_EQ(slice->aborted.size(), 1u);
    EXPECT_EQ(slice->aborted.front().producer_id, kAborter);
    // A retry of the last batch is still known for one.
    const auto again = append({.records = 2,
                               .value_bytes = 50,
                               .producer_id = kMovedProducer,
                               .base_sequence = 2 * (sequence - 1)},
                              3);
    EXPECT_TRUE(again.duplicate);
  };
  check();
  reopen_moved(log->recovery_point());
  check();
  append_some(3, 3);
  expected = batches_from(0);
  reopen_moved(0);  // nothing is known of it: every batch is checked
  check();
}

TEST_F(MoveTest, WhoHasFoundSomethingInTheOldFilesReadsThem) {
  append_some(30);
  auto slice = log->read(5, 300, INT64_MAX, true);
  ASSERT_TRUE(slice.ok());
  const auto bytes = bytes_of(*slice);
  make_copy();
  const auto moved = move_log();
  ASSERT_TRUE(moved.ok()) << moved.error().message;
  copy.reset();
  fs::remove_all(*moved);
  EXPECT_EQ(bytes_of(*slice), bytes);
}

TEST_F(MoveTest, ReadersDoNotWaitForARename) {
  append_some(40);
  const auto expected = batches_from(0);
  make_copy();
  ASSERT_TRUE(fill_copy().ok());
  constexpr int64_t kRenameMs = 1500;
  const uint64_t fault = FaultyFileSystem::instance().add(
      {FileCall::kRename, {target + "*-future"}, FaultEffect::kDelay, kRenameMs});
  std::thread mover([this] { EXPECT_TRUE(move_log().ok()); });
  while (FaultyFileSystem::instance().count(fault).struck == 0) std::this_thread::yield();
  const auto begin = std::chrono::steady_clock::now();
  int reads = 0;
  while (log->directory() != target + "/topic-0") {
    const auto from = std::chrono::steady_clock::now();
    EXPECT_EQ(batches_from(0), expected);
    EXPECT_TRUE(log->begin_verification(9, 0, 0, false, "tx").ok());
    log->set_config(config);
    EXPECT_LT(std::chrono::steady_clock::now() - from, std::chrono::milliseconds(kRenameMs / 2));
    ++reads;
  }
  EXPECT_GE(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(kRenameMs / 2));
  mover.join();
  FaultyFileSystem::instance().remove(fault);
  EXPECT_GT(reads, 1);
  EXPECT_EQ(batches_from(0), expected);
}

/// Of a system whose rename is over before the call that asked for it returns.
class LateRename : public FileSystem {
 public:
  std::atomic<bool> renamed{false};
  std::atomic<bool> may_return{false};

  int rename(const char* from, const char* to) override {
    const int result = FileSystem::rename(from, to);
    if (!std::string_view(from).ends_with("-future")) return result;
    renamed = true;
    while (!may_return) std::this_thread::yield();
    return result;
  }
};

TEST_F(MoveTest, ReadersFindAFileWhoseDirectoryHasJustBeenRenamed) {
  append_some(40);
  abort_one();
  append_some(40);
  const auto expected = batches_from(0);
  make_copy();
  ASSERT_TRUE(fill_copy().ok());
  LateRename late;
  set_file_system(&late);
  std::thread mover([this] { EXPECT_TRUE(move_log().ok()); });
  while (!late.renamed) std::this_thread::yield();
  EXPECT_EQ(batches_from(0), expected);
  const auto by_time = log->max_timestamp_offset();
  EXPECT_TRUE(by_time.ok());
  const auto findings = log->scrub({});
  EXPECT_TRUE(findings.ok() && findings->empty());
  late.may_return = true;
  mover.join();
  set_file_system(nullptr);
  EXPECT_EQ(batches_from(0), expected);
  EXPECT_EQ(log->directory(), target + "/topic-0");
}

TEST_F(MoveTest, AProducerWhoseRecordsAreGoneIsKnownAfterTheMove) {
  append({.producer_id = 77, .base_sequence = 0});
  append_some(40);
  ASSERT_TRUE(log->advance_log_start_offset(60).ok());
  const size_t producers = log->producers().size();
  const auto first = log->read_to_copy(60);
  ASSERT_TRUE(first.ok());
  make_copy(std::min<int64_t>(first->first_batch_offset, 60));
  ASSERT_TRUE(move_log().ok());
  EXPECT_EQ(log->log_start_offset(), 60);
  EXPECT_EQ(log->producers().size(), producers);
  // After a crash only what the checked segments hold is sure to be known again.
  reopen_moved(log->recovery_point());
  EXPECT_GE(log->producers().size(), 1U);
}

TEST_F(MoveTest, ACopyThatTheLogHasRunAwayFromHasToBeginAnew) {
  append_some(40);
  make_copy();
  ASSERT_TRUE(copy_batches(*log, *copy, 300).ok());
  ASSERT_TRUE(log->advance_log_start_offset(60).ok());
  EXPECT_EQ(fill_copy().error().code, ErrorCode::kOffsetOutOfRange);
}

TEST_F(MoveTest, WhatIsCorruptIsNotCopied) {
  append_some(20);
  ASSERT_TRUE(log->flush().ok());
  {
    std::fstream file(log_file() + ".log", std::ios::binary | std::ios::in | std::ios::out);
    file.seekp(500);
    file.put('\x7f');
  }
  make_copy();
  const Status filled = fill_copy();
  EXPECT_EQ(filled.error().code, ErrorCode::kCorruptMessage);
  EXPECT_FALSE(log->offline());
  EXPECT_EQ(log->directory(), directory);
}

TEST_F(MoveTest, ABatchThatIsOutOfPlaceEndsTheCopyWhereverAChunkEnds) {
  append_some(60);
  ASSERT_TRUE(log->close().ok());
  const int64_t end = log->log_end_offset();
  const std::string path = log_file() + ".log";
  std::ifstream in(path, std::ios::binary);
  const std::vector<uint8_t> whole{std::istreambuf_iterator<char>(in), {}};
  std::vector<uint64_t> starts;
  ByteView rest(whole);
  while (const auto batch = record::peek_batch(rest)) {
    starts.push_back(whole.size() - rest.size());
    rest = rest.subspan(batch->size_bytes());
  }
  ASSERT_GT(starts.size(), 4u);
  for (const size_t n : {size_t{0}, size_t{1}, size_t{2}, starts.size() - 1}) {
    for (size_t bit = 0; bit < 64; ++bit) {
      auto bytes = whole;
      bytes[starts[n] + bit / 8] ^= static_cast<uint8_t>(0x80 >> bit % 8);
      std::ofstream(path, std::ios::binary)
          .write(reinterpret_cast<const char*>(bytes.data()),
                 static_cast<std::streamsize>(bytes.size()));
      open(true, end);
      for (const uint64_t chunk_bytes : {1u, 400u, 1u << 20}) {
        fs::remove_all(target);
        fs::create_directory(target);
        make_copy();
        const Status filled = fill_copy(chunk_bytes);
        ASSERT_EQ(filled.error().code, ErrorCode::kCorruptMessage) << n << " " << bit;
        ASSERT_NE(filled.error().message.find(path), std::string::npos);
        ASSERT_LE(copy->log_end_offset(), static_cast<int64_t>(2 * n));
        copy.reset();
      }
      log.reset();
    }
  }
}

TEST_F(MoveTest, WhatIsToBeNotedFirstCanEndTheMove) {
  append_some(10);
  make_copy();
  const auto moved = log->move_to(*copy, [] {
    return Error{ErrorCode::kKafkaStorageError, "no room for the checkpoints", 0};
  });
  EXPECT_FALSE(moved.ok());
  EXPECT_EQ(log->directory(), directory);
  append_some(1);
  EXPECT_EQ(batches_from(0).size(), 11u);
}

class MoveFaultTest : public MoveTest, public ::testing::WithParamInterface<FileCall> {};

TEST_P(MoveFaultTest, AFaultLeavesTheLogWholeInOneOfTheDirectories) {
  for (uint64_t nth = 1;; ++nth) {
    SCOPED_TRACE(nth);
    ASSERT_LT(nth, 1000u);
    log.reset();
    copy.reset();
    sequence = 0;
    for (const auto& path : {directory, target}) fs::remove_all(path);
    fs::create_directory(target);
    for (const auto& entry : fs::directory_iterator(root.path())) {
      if (entry.path().string().ends_with("-delete")) fs::remove_all(entry.path());
    }
    open();
    append_some(25);
    const auto expected = batches_from(0);
    make_copy();
    strike(GetParam(), nth);
    Status filled = fill_copy();
    Result<std::string> moved = filled.ok() ? move_log() : Result<std::string>(filled.error());
    const bool was_struck = struck();
    clear_fault();
    const bool at_home = fs::exists(directory);
    EXPECT_NE(at_home, fs::exists(target + "/topic-0"));
    EXPECT_EQ(at_home, !moved.ok());
    EXPECT_EQ(log->directory(), at_home ? directory : target + "/topic-0");
    EXPECT_EQ(batches_from(0), expected);
    const int64_t recovery_point = log->recovery_point();
    if (at_home) {
      crash_and_open();
    } else {
      copy.reset();
      reopen_moved(recovery_point);
    }
    EXPECT_EQ(batches_from(0), expected);
    append_some(1);
    if (!was_struck) {
      EXPECT_TRUE(moved.ok()) << moved.error().message;
      break;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Calls, MoveFaultTest,
                         ::testing::Values(FileCall::kOpen, FileCall::kWrite, FileCall::kSync,
                                           FileCall::kRename, FileCall::kRead,
                                           FileCall::kTruncate));

}  // namespace
}  // namespace barnabas::storage
