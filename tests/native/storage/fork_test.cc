// A fork of a log has its content, and neither feels what becomes of the other.
#include <sys/stat.h>

#include <fstream>

#include "log_fixture.h"
#include "record/end_marker.h"
#include "storage/log_fork.h"

namespace barnabas::storage {
namespace {

namespace fs = std::filesystem;

using Batches = std::vector<std::pair<int64_t, int64_t>>;

class ForkTest : public LogTest {
 protected:
  ForkTest() : target(root.path() + "/fork") {
    fs::create_directory(target);
    config.segment_bytes = 2000;
    config.index_interval_bytes = 200;
  }
  void SetUp() override { open(); }

  void append_some(int count) {
    for (int i = 0; i < count; ++i) append({.records = 2, .value_bytes = 50});
  }
  void append_transaction(int64_t producer, std::optional<bool> commit) {
    append({.producer_id = producer, .transactional = true});
    if (!commit) return;
    auto marker = record::encode_end_marker({*commit, 0}, producer, 0, clock.wall_ms());
    ASSERT_TRUE(marker.ok());
    AppendBatch batch;
    batch.bytes = *marker;
    batch.producer.origin = AppendOrigin::kCoordinator;
    ASSERT_TRUE(log->append(batch, 0).ok());
    log->advance_high_watermark(log->log_end_offset());
  }
  Status fork(uint64_t roll_above_bytes = UINT64_MAX) {
    BARNABAS_ASSIGN(const auto forking, log->begin_fork(roll_above_bytes));
    forking->stop_appends();
    const Status cut = forking->cut();
    forking->resume_appends();
    BARNABAS_TRY(cut);
    forked = forking->offsets();
    return forking->write(target + "/topic-0");
  }
  /// The fork's log, in the place of the other one, which stays open.
  void use_fork(bool clean = true, int64_t recovery_point = 0) {
    if (original == nullptr) original = std::move(log);
    log.reset();
    LogOpenOptions options;
    options.clean_shutdown = clean;
    options.recovery_point = clean ? forked.log_end_offset : recovery_point;
    options.log_start_offset = forked.log_start_offset;
    auto opened = Log::open(target + "/topic-0", {"topic", 0}, config, options, fds, clock);
    ASSERT_TRUE(opened.ok()) << opened.error().message;
    log = std::move(opened).value();
  }
  Batches batches_of_original() {
    std::swap(log, original);
    Batches batches = batches_from(0);
    std::swap(log, original);
    return batches;
  }
  [[nodiscard]] bool shares(const std::string& name) const {
    struct stat of_log {};
    struct stat of_fork {};
    return ::stat((directory + "/" + name).c_str(), &of_log) == 0 &&
           ::stat((target + "/topic-0/" + name).c_str(), &of_fork) == 0 &&
           of_log.st_ino == of_fork.st_ino;
  }

  const std::string target;
  ForkedOffsets forked;
  std::unique_ptr<Log> original;
};

TEST_F(ForkTest, HasTheSameBatchesAndNeedsNoRecovery) {
  append_some(50);
  const Batches batches = batches_from(0);
  const size_t segments = log->segment_count();
  ASSERT_TRUE(fork().ok());
  EXPECT_EQ(log->segment_count(), segments);
  EXPECT_EQ(forked.log_end_offset, 100);
  use_fork();
  EXPECT_FALSE(log->recovery_report().checked);
  EXPECT_EQ(batches_from(0), batches);
  EXPECT_EQ(log->segment_count(), segments);
  EXPECT_TRUE(shares("00000000000000000000.log"));
  append_some(3);
  EXPECT_EQ(batches_of_original(), batches);
}

TEST_F(ForkTest, ALargeActiveSegmentIsLeftAndShared) {
  append_some(5);
  ASSERT_EQ(log->segment_count(), 1u);
  ASSERT_TRUE(fork(100).ok());
  EXPECT_EQ(log->segment_count(), 2u);
  EXPECT_TRUE(shares("00000000000000000000.log"));
  EXPECT_TRUE(shares("00000000000000000000.timeindex"));
  const Batches batches = batches_from(0);
  use_fork();
  EXPECT_EQ(batches_from(0), batches);
  EXPECT_EQ(append().base_offset, 10);
  EXPECT_EQ(batches_of_original(), batches);
}

TEST_F(ForkTest, AnEmptyLogHasAnEmptyFork) {
  ASSERT_TRUE(fork().ok());
  use_fork();
  EXPECT_EQ(log->log_end_offset(), 0);
  EXPECT_EQ(append().base_offset, 0);
}

TEST_F(ForkTest, ProducersAndTransactionsAreAsTheyWere) {
  append_some(3);
  append_transaction(5, false);
  append_transaction(6, true);
  append_some(20);
  append_transaction(7, false);
  append_transaction(8, std::nullopt);
  const int64_t open_since = log->log_end_offset() - 1;
  const auto before = log->read_committed(0, UINT64_MAX, log->log_end_offset(), true);
  ASSERT_EQ(before->aborted.size(), 1u);  // of the first segment
  ASSERT_TRUE(fork().ok());
  use_fork();
  EXPECT_EQ(log->producers().size(), 4u);
  EXPECT_EQ(log->first_unstable_offset(), open_since);
  const auto again = log->read_committed(0, UINT64_MAX, log->log_end_offset(), true);
  EXPECT_EQ(again->aborted, before->aborted);
  // A retry of what is there is none of the fork's either.
  const auto retried = try_append({.producer_id = 8, .transactional = true});
  ASSERT_TRUE(retried.ok()) << retried.error().message;
  EXPECT_TRUE(retried->duplicate);
}

TEST_F(ForkTest, TruncationInOneLeavesTheOther) {
  append_some(50);
  const Batches batches = batches_from(0);
  ASSERT_TRUE(fork().ok());
  ASSERT_TRUE(log->truncate_to(7).ok());
  append_some(5);
  ASSERT_FALSE(shares("00000000000000000000.log"));
  use_fork();
  EXPECT_EQ(batches_from(0), batches);
  ASSERT_TRUE(log->truncate_to(5).ok());
  append_some(1);
  EXPECT_EQ(batches_of_original().size(), 8u);
}

TEST_F(ForkTest, RetentionAndDeletionInOneLeaveTheOther) {
  append_some(50);
  const Batches batches = batches_from(0);
  ASSERT_TRUE(fork().ok());
  config.file_delete_delay_ms = 0;
  log->set_config(config);
  ASSERT_TRUE(log->advance_log_start_offset(90).ok());
  log->remove_due_files();
  ASSERT_TRUE(log->mark_deleted().ok());
  fs::remove_all(log->directory());
  use_fork();
  EXPECT_EQ(batches_from(0), batches);
}

TEST_F(ForkTest, WhatRecoveryCutsInOneStaysInTheOther) {
  append_some(50);
  const Batches batches = batches_from(0);
  ASSERT_TRUE(fork(0).ok());
  ASSERT_TRUE(shares("00000000000000000000.log"));
  // What is left of the fork is its first segment, which it then goes on with.
  const std::string kept = "00000000000000000000.";
  for (const auto& entry : fs::directory_iterator(target + "/topic-0")) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(kept) && !name.starts_with("leader")) fs::remove(entry.path());
  }
  const std::string path = target + "/topic-0/" + kept + "log";
  const uint64_t whole = fs::file_size(path);
  use_fork(false);
  append_some(1);
  EXPECT_EQ(fs::file_size(file(kept + "log")), whole);
  EXPECT_EQ(batches_of_original(), batches);
  log.reset();
  // A tail that is not one: the recovery cuts it off, of the fork's own file.
  fs::remove(path);
  fs::create_hard_link(file(kept + "log"), path);
  std::ofstream(file(kept + "log"), std::ios::app) << "torn";
  use_fork(false);
  EXPECT_GT(log->recovery_report().bytes_cut, 0u);
  EXPECT_EQ(fs::file_size(file(kept + "log")), whole + 4);
}

TEST_F(ForkTest, IndexesMadeAnewInOneAreNotTheOthers) {
  append_some(50);
  const Batches batches = batches_from(0);
  ASSERT_TRUE(fork().ok());
  use_fork();
  log.reset();
  config.index_interval_bytes = 1;  // other entries
  use_fork(false);
  EXPECT_EQ(batches_from(0), batches);
  EXPECT_FALSE(shares("00000000000000000000.index"));
  EXPECT_TRUE(shares("00000000000000000000.log"));
  EXPECT_EQ(batches_of_original(), batches);
}

TEST_F(ForkTest, AnOfflineLogIsNotForked) {
  append_some(3);
  ASSERT_TRUE(log->close().ok());
  const Status forked_closed = fork();
  ASSERT_FALSE(forked_closed.ok());
  EXPECT_EQ(forked_closed.error().code, ErrorCode::kKafkaStorageError);
  EXPECT_TRUE(log->flush().ok());  // no lock is held any more
}

}  // namespace
}  // namespace barnabas::storage
