// Writes that fail half way, and readers and writers at the same time.
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <thread>

#include "base/faulty_file_system.h"
#include "log_fixture.h"

namespace barnabas::storage {
namespace {

namespace fs = std::filesystem;

/// Lets no file grow beyond a size, as a full disk does: write(2) comes back short, then with
/// EFBIG.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(uint64_t bytes) {
    previous_handler_ = std::signal(SIGXFSZ, SIG_IGN);
    ::getrlimit(RLIMIT_FSIZE, &previous_);
    const rlimit limit{bytes, previous_.rlim_max};
    EXPECT_EQ(::setrlimit(RLIMIT_FSIZE, &limit), 0);
  }
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &previous_);
    std::signal(SIGXFSZ, previous_handler_);
  }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;

 private:
  rlimit previous_{};
  sighandler_t previous_handler_;
};

class FailureTest : public LogTest {};

TEST_F(FailureTest, AShortWriteIsTakenBackAndTheLogGoesOnWhenThereIsRoom) {
  open();
  append({.value_bytes = 1000, .producer_id = 9});
  const uint64_t size = log->size_bytes();
  for (const uint64_t room : {0u, 1u, 60u, 61u, 500u}) {
    const FileSizeLimit full(size + room);
    const auto failed = try_append({.value_bytes = 1000, .producer_id = 9, .base_sequence = 1});
    ASSERT_FALSE(failed.ok());
    EXPECT_EQ(failed.error().code, ErrorCode::kKafkaStorageError);
    EXPECT_EQ(failed.error().sys_errno, EFBIG);
    EXPECT_EQ(fs::file_size(log_file() + ".log"), size);
    EXPECT_EQ(log->log_end_offset(), 1);
    EXPECT_EQ(batches_from(0).size(), 1u);
  }
  EXPECT_FALSE(log->offline());
  // The failed batch left no trace in the producer's state either.
  EXPECT_EQ(append({.producer_id = 9, .base_sequence = 1}).base_offset, 1);
  crash_and_open();
  EXPECT_EQ(batches_from(0).size(), 2u);
  EXPECT_EQ(log->recovery_report().bytes_cut, 0u);
}

TEST_F(FailureTest, WhatCannotBeTakenBackForWantOfRoomGoesBeforeAnythingElseComes) {
  FaultyFileSystem& files = FaultyFileSystem::instance();
  open();
  append({.value_bytes = 1000});
  const uint64_t size = log->size_bytes();
  const uint64_t torn = files.add({FileCall::kWrite, {"*.log"}, FaultEffect::kTear, 500, 1, 1});
  const uint64_t full = files.add({FileCall::kTruncate, {"*.log"}, FaultEffect::kFail, EDQUOT, 1});
  EXPECT_EQ(append_error({.value_bytes = 1000}), ErrorCode::kKafkaStorageError);
  EXPECT_EQ(fs::file_size(log_file() + ".log"), size + 500);
  EXPECT_FALSE(log->offline());
  EXPECT_EQ(batches_from(0).size(), 1u);
  // Nothing may follow it, in this segment or in another one, nor may it pass for a clean end.
  EXPECT_EQ(append_error({}), ErrorCode::kKafkaStorageError);
  EXPECT_EQ(files.count(full).struck, 2u);
  EXPECT_FALSE(log->roll().ok());
  EXPECT_EQ(files.count(full).struck, 3u);
  const Status closed = log->close();
  EXPECT_FALSE(closed.ok());
  EXPECT_EQ(files.count(full).struck, 4u);
  files.remove(torn);
  files.remove(full);
  crash_and_open();
  EXPECT_EQ(log->recovery_report().bytes_cut, 500u);
  EXPECT_EQ(batches_from(0).size(), 1u);
}

TEST_F(FailureTest, WithRoomAgainTheLogGoesOnAsIfNothingHadBeenLeftBehind) {
  FaultyFileSystem& files = FaultyFileSystem::instance();
  open();
  append({.value_bytes = 1000});
  for (const bool rolls : {false, true}) {
    const uint64_t size = fs::file_size(log_file() + ".log");
    const uint64_t torn = files.add({FileCall::kWrite, {"*.log"}, FaultEffect::kTear, 500, 1, 1});
    const uint64_t full =
        files.add({FileCall::kTruncate, {"*.log"}, FaultEffect::kFail, ENOSPC, 1, 1});
    EXPECT_EQ(append_error({.value_bytes = 1000}), ErrorCode::kKafkaStorageError);
    files.remove(torn);
    files.remove(full);
    EXPECT_EQ(fs::file_size(log_file() + ".log"), size + 500);
    if (rolls) {
      ASSERT_TRUE(log->roll().ok());
      EXPECT_EQ(fs::file_size(log_file() + ".log"), size);
    }
    append({.value_bytes = 100});
  }
  EXPECT_EQ(log->segment_count(), 2u);
  crash_and_open();
  EXPECT_EQ(batches_from(0).size(), 3u);
  EXPECT_EQ(log->log_end_offset(), 3);
  EXPECT_EQ(log->recovery_report().bytes_cut, 0u);
}

TEST_F(FailureTest, ARollThatCannotMakeItsFileLeavesTheLogAsItWas) {
  config.segment_bytes = 500;
  open();
  append({.value_bytes = 300});
  // A directory in the way of the next segment: no file of that name can be made.
  fs::create_directory(log_file(1) + ".log");
  EXPECT_EQ(append_error({.value_bytes = 300}), ErrorCode::kKafkaStorageError);
  EXPECT_EQ(log->log_end_offset(), 1);
  EXPECT_EQ(batches_from(0).size(), 1u);
  fs::remove(log_file(1) + ".log");
  EXPECT_EQ(append({.value_bytes = 300}).base_offset, 1);
  EXPECT_EQ(batches_from(0).size(), 2u);
}

TEST_F(FailureTest, IndexesThatCannotBeWrittenDoNotFailAppends) {
  config.index_interval_bytes = 1;
  open();
  fs::create_directory(log_file() + ".index");  // in the way
  for (int i = 0; i < 200; ++i) append();
  EXPECT_EQ(batches_from(0).size(), 200u);
  EXPECT_FALSE(log->close().ok());  // so that the stop is not marked as a clean one
  fs::remove(log_file() + ".index");
  open();
  EXPECT_EQ(batches_from(0).size(), 200u);
}

TEST_F(FailureTest, ACloseThatFailedIsNotTakenForOneThatSucceeded) {
  config.index_interval_bytes = 1;
  open();
  fs::create_directory(log_file() + ".index");  // in the way
  for (int i = 0; i < 20; ++i) append();
  EXPECT_FALSE(log->close().ok());
  EXPECT_FALSE(log->close().ok());
  fs::remove(log_file() + ".index");
  close_and_open();
  append();
  EXPECT_EQ(batches_from(0).size(), 21u);
  EXPECT_TRUE(log->close().ok());
  EXPECT_EQ(append_error({}), ErrorCode::kKafkaStorageError);
}

TEST_F(FailureTest, AFlushThatFailsTakesTheLogOfflineForGood) {
  open();
  append();
  // A pipe stands in for a disk that cannot sync: fdatasync on it fails with EINVAL.
  const std::string path = log_file() + ".log";
  fds.forget(path);
  fs::rename(path, path + ".aside");
  ASSERT_EQ(::mkfifo(path.c_str(), 0644), 0);
  const auto flushed = log->flush();
  ASSERT_FALSE(flushed.ok());
  EXPECT_EQ(flushed.error().sys_errno, EINVAL);
  EXPECT_TRUE(log->offline());
  EXPECT_EQ(log->recovery_point(), 0);
  fds.forget(path);
  fs::rename(path + ".aside", path);
  EXPECT_FALSE(log->flush().ok());  // never retried: the pages may be lost though a retry succeeds
  EXPECT_EQ(append_error({}), ErrorCode::kKafkaStorageError);
}

TEST_F(FailureTest, AFlushThatFoundNoRoomOrDescriptorIsTriedAgain) {
  open();
  append({}, 1);
  const std::string checkpoint = file("leader-epoch-checkpoint.tmp");
  fs::create_directory(checkpoint);  // in the way of the epochs, which a flush writes too
  EXPECT_FALSE(log->flush().ok());
  EXPECT_FALSE(log->offline());
  EXPECT_EQ(log->recovery_point(), 0);
  append({}, 1);
  fs::remove(checkpoint);
  {
    fds.forget(log_file() + ".log");
    rlimit before{};
    ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
    const rlimit none{0, before.rlim_max};
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
    const auto flushed = log->flush();
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
    ASSERT_FALSE(flushed.ok());
    EXPECT_EQ(flushed.error().sys_errno, EMFILE);
  }
  EXPECT_FALSE(log->offline());
  EXPECT_EQ(*log->flush(), 2);
  EXPECT_EQ(log->recovery_point(), 2);
  EXPECT_TRUE(fs::exists(file("leader-epoch-checkpoint")));
}

TEST_F(FailureTest, RetentionTakesNoFileFromUnderAFlush) {
  config.segment_bytes = 2000;
  config.retention_bytes = 2000;
  config.file_delete_delay_ms = 0;
  open();
  std::atomic<bool> done = false;
  std::atomic<int> failures = 0;
  std::thread flusher([&] {
    while (!done.load()) failures += log->flush().ok() ? 0 : 1;
  });
  for (int round = 0; round < 60; ++round) {
    for (int i = 0; i < 30; ++i) append({.value_bytes = 60});
    log->maintain(log->log_end_offset());
    log->remove_due_files();
  }
  done.store(true);
  flusher.join();
  EXPECT_EQ(failures.load(), 0);
  EXPECT_FALSE(log->offline());
}

TEST_F(FailureTest, IndexesThatARollCannotWriteAreMissingAfterwardsAndThenRebuilt) {
  config.index_interval_bytes = 1;
  open();
  for (int i = 0; i < 100; ++i) append();  // the first entries are in the file by now
  fs::remove(log_file() + ".timeindex");
  fs::create_directory(log_file() + ".timeindex");  // in the way
  ASSERT_TRUE(log->roll().ok());
  EXPECT_FALSE(fs::exists(log_file() + ".index"));  // a short one would be believed
  EXPECT_EQ(batches_from(0).size(), 100u);
  fs::remove(log_file() + ".timeindex");
  log->maintain(0);
  EXPECT_EQ(fs::file_size(log_file() + ".index"), 8u * 99);
  EXPECT_EQ(batches_from(0).size(), 100u);
}

TEST_F(FailureTest, ReadersSeeOnlyWholeBatchesWhileOthersAreAppended) {
  config.segment_bytes = 100'000;
  config.index_interval_bytes = 500;
  open();
  std::atomic<bool> done = false;
  std::atomic<int> failures = 0;
  std::vector<std::thread> threads;
  for (int reader = 0; reader < 2; ++reader) {
    threads.emplace_back([&, reader] {
      int64_t offset = 0;
      while (!done.load() || offset < log->log_end_offset()) {
        if (reader == 1 && !log->read(offset / 2, 5000, INT64_MAX, true).ok()) ++failures;
        const auto slice = log->read(offset, 5000, INT64_MAX, true);
        if (!slice.ok()) {
          ++failures;
          return;
        }
        const auto bytes = bytes_of(*slice);
        if (bytes.size() != slice->file.length) ++failures;
        ByteView rest(bytes);
        while (const auto batch = record::peek_batch(rest)) {
          if (batch->base_offset() > offset) ++failures;
          offset = std::max(offset, batch->next_offset());
          rest = rest.subspan(batch->size_bytes());
        }
      }
    });
  }
  threads.emplace_back([&] {
    while (!done.load()) {
      if (!log->flush().ok()) ++failures;
      log->maintain(log->log_end_offset());
      if (!log->offset_for_timestamp(1'700'000'000'000).ok()) ++failures;
      if (log->recovery_point() > log->log_end_offset()) ++failures;
    }
  });
  for (int i = 0; i < 3000; ++i) append({.records = 1 + i % 3, .value_bytes = 100});
  done.store(true);
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(failures.load(), 0);
  EXPECT_EQ(batches_from(0).size(), 3000u);
}

TEST_F(FailureTest, ReadersSurviveTruncationAndRemovalUnderTheirFeet) {
  config.segment_bytes = 2000;
  config.index_interval_bytes = 200;
  config.file_delete_delay_ms = 0;
  open();
  std::atomic<bool> done = false;
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (int reader = 0; reader < 2; ++reader) {
    threads.emplace_back([&] {
      while (!done.load()) {
        const int64_t start = log->log_start_offset();
        const int64_t end = log->log_end_offset();
        for (int64_t offset = start; offset < end; offset += 3) {
          const auto slice = log->read(offset, 300, INT64_MAX, true);
          if (!slice.ok()) {
            if (slice.error().code != ErrorCode::kOffsetOutOfRange) ++wrong;
          } else if (slice->first_batch_bytes > 0 && slice->first_batch_offset > offset) {
            ++wrong;
          }
        }
      }
    });
  }
  for (int round = 0; round < 60; ++round) {
    for (int i = 0; i < 40; ++i) append({.records = 2, .value_bytes = 60});
    ASSERT_TRUE(log->truncate_to(log->log_end_offset() - 31).ok());
    ASSERT_TRUE(log->advance_log_start_offset(
                       log->log_end_offset() - 60 < 0 ? 0 : log->log_end_offset() - 60)
                    .ok());
    log->maintain(log->log_end_offset());
  }
  done.store(true);
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wrong.load(), 0);
}

TEST(FdCacheTest, KeepsTheMostRecentlyUsedOpenAndHeldOnesUsable) {
  TemporaryDirectory root;
  FdCache cache(3);
  const auto path = [&](int n) { return root.path() + "/" + std::to_string(n); };
  for (int n = 0; n < 5; ++n) ::close(::open(path(n).c_str(), O_CREAT | O_WRONLY, 0644));
  const SharedFd held = *cache.open(path(0));
  for (int n = 1; n < 5; ++n) ASSERT_TRUE(cache.open(path(n)).ok());
  EXPECT_EQ(cache.open_count(), 3u);
  EXPECT_EQ(::fcntl(held->get(), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
  EXPECT_NE((*cache.open(path(0)))->get(), held->get());
  cache.forget(path(0));
  EXPECT_EQ(cache.open_count(), 2u);
  EXPECT_FALSE(cache.open(root.path() + "/missing").ok());
}

}  // namespace
}  // namespace barnabas::storage
