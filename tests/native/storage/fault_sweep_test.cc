// Every call that the log makes of the file system goes wrong once, in turn: the first, the second
// and so on, until a life of the log passes without meeting the fault.
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <tuple>

#include "base/faulty_file_system.h"
#include "base/fd.h"
#include "log_fixture.h"

namespace barnabas::storage {
namespace {

constexpr int64_t kSweptProducer = 5;
constexpr int kBatches = 60;
constexpr uint64_t kMostCalls = 5000;  // of one kind in one life: far more than there are

class FaultSweepTest : public LogTest {
 protected:
  FaultSweepTest() {
    config.segment_bytes = 3000;
    config.index_interval_bytes = 200;
    config.file_delete_delay_ms = 0;
  }
  ~FaultSweepTest() override { clear(); }

  uint64_t strike(FileCall call, FaultEffect effect, int64_t value, uint64_t nth) {
    clear();
    fault_ = FaultyFileSystem::instance().add({call, {root.path() + "*"}, effect, value, nth, 1});
    return fault_;
  }
  void clear() {
    if (fault_ != 0) FaultyFileSystem::instance().remove(fault_);
    fault_ = 0;
  }
  [[nodiscard]] bool struck() const {
    return FaultyFileSystem::instance().count(fault_).struck > 0;
  }

  /// Appends, rolls, flushes and trims, and tells what was acknowledged.
  /// Errors are met as a broker meets them: the batch is sent again.
  void live(const std::function<void(int64_t base, int64_t last)>& on_acked) {
    for (int i = 0; i < kBatches; ++i) {
      const BatchSpec spec{.value_bytes = 100, .producer_id = kSweptProducer, .base_sequence = i};
      auto appended = try_append(spec);
      if (!appended.ok()) appended = try_append(spec);  // as an idempotent producer does
      if (!appended.ok()) return;
      on_acked(appended->base_offset, appended->last_offset);
      if (i % 13 == 0) (void)log->flush();
      if (i % 20 == 19) {
        (void)log->advance_log_start_offset(appended->last_offset / 3);
        log->maintain(log->log_end_offset());
        log->remove_due_files();
      }
    }
  }

  void expect_whole(const std::vector<std::pair<int64_t, int64_t>>& acked) {
    const int64_t start = log->log_start_offset();
    std::vector<std::pair<int64_t, int64_t>> expected;
    for (const auto& batch : acked) {
      if (batch.second >= start) expected.push_back(batch);
    }
    auto found = batches_from(start);
    // What was written and not acknowledged may be there, behind the rest.
    ASSERT_GE(found.size(), expected.size());
    found.resize(expected.size());
    EXPECT_EQ(found, expected);
  }

  uint64_t fault_ = 0;
};

class ErrorSweepTest
    : public FaultSweepTest,
      public ::testing::WithParamInterface<std::tuple<FileCall, FaultEffect, int64_t>> {};

TEST_P(ErrorSweepTest, NothingAcknowledgedIsLostAndTheLogGoesOn) {
  const auto [call, effect, value] = GetParam();
  uint64_t nth = 1;
  for (; nth < kMostCalls; ++nth) {
    SCOPED_TRACE("call " + std::to_string(nth));
    std::filesystem::remove_all(directory);
    open();
    strike(call, effect, value, nth);
    std::vector<std::pair<int64_t, int64_t>> acked;
    live([&](int64_t base, int64_t last) { acked.emplace_back(base, last); });
    const bool met = struck();
    const bool was_sync = call == FileCall::kSync;
    clear();
    if (!met) {
      EXPECT_EQ(acked.size(), static_cast<size_t>(kBatches));
      break;
    }
    if (log->offline()) {
      // Only a failed fsync is for good, and a tail that could not be taken back.
      EXPECT_TRUE(was_sync);
      EXPECT_EQ(append_error({}), ErrorCode::kKafkaStorageError);
    } else {
      EXPECT_EQ(acked.size(), static_cast<size_t>(kBatches));
      expect_whole(acked);
    }
    crash_and_open();
    expect_whole(acked);
    EXPECT_EQ(log->recovery_report().bytes_set_aside, 0u);
    // The producer's next one is taken, and its last one known.
    const auto again = try_append({.value_bytes = 100,
                                   .producer_id = kSweptProducer,
                                   .base_sequence = static_cast<int32_t>(acked.size()) - 1});
    ASSERT_TRUE(again.ok()) << again.error().message;
    EXPECT_TRUE(again->duplicate);
    if (HasFailure()) return;
  }
  EXPECT_GT(nth, 1u);
  RecordProperty("calls", static_cast<int>(nth - 1));
}

INSTANTIATE_TEST_SUITE_P(Faults, ErrorSweepTest,
                         ::testing::Values(std::tuple(FileCall::kWrite, FaultEffect::kFail, ENOSPC),
                                           std::tuple(FileCall::kWrite, FaultEffect::kFail, EDQUOT),
                                           std::tuple(FileCall::kWrite, FaultEffect::kFail, EFBIG),
                                           std::tuple(FileCall::kWrite, FaultEffect::kShort, 1),
                                           std::tuple(FileCall::kWrite, FaultEffect::kTear, 61),
                                           std::tuple(FileCall::kOpen, FaultEffect::kFail, ENOSPC),
                                           std::tuple(FileCall::kOpen, FaultEffect::kFail, EMFILE),
                                           std::tuple(FileCall::kRename, FaultEffect::kFail,
                                                      ENOSPC),
                                           std::tuple(FileCall::kUnlink, FaultEffect::kFail, EIO),
                                           std::tuple(FileCall::kTruncate, FaultEffect::kFail, EIO),
                                           std::tuple(FileCall::kSync, FaultEffect::kFail, EIO)),
                         [](const auto& test) { return "Fault" + std::to_string(test.index); });

class KillSweepTest : public FaultSweepTest,
                      public ::testing::WithParamInterface<std::tuple<FileCall, FaultEffect>> {
 protected:
  /// A life that ends in SIGKILL at the nth call, in a process of its own. Returns whether it did.
  bool live_and_die(FileCall call, FaultEffect effect, uint64_t nth,
                    std::vector<std::pair<int64_t, int64_t>>& acked) {
    int ends[2];
    EXPECT_EQ(::pipe(ends), 0);
    const pid_t child = ::fork();
    if (child == 0) {
      open();
      strike(call, effect, 0, nth);
      live([&](int64_t base, int64_t last) {
        const int64_t pair[2] = {base, last};
        if (::write(ends[1], pair, sizeof pair) != sizeof pair) ::_exit(3);
      });
      ::_exit(0);
    }
    ::close(ends[1]);
    int64_t pair[2];
    while (::read(ends[0], pair, sizeof pair) == sizeof pair) acked.emplace_back(pair[0], pair[1]);
    ::close(ends[0]);
    int status = 0;
    ::waitpid(child, &status, 0);
    EXPECT_TRUE(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
    return WIFSIGNALED(status);
  }
};

TEST_P(KillSweepTest, NoGapNoOverlapNothingResurrected) {
  const auto [call, effect] = GetParam();
  uint64_t nth = 1;
  for (; nth < kMostCalls; ++nth) {
    SCOPED_TRACE("call " + std::to_string(nth));
    std::filesystem::remove_all(directory);
    std::vector<std::pair<int64_t, int64_t>> acked;
    if (!live_and_die(call, effect, nth, acked)) {
      EXPECT_EQ(acked.size(), static_cast<size_t>(kBatches));
      break;
    }
    open();
    expect_whole(acked);
    const auto found = batches_from(log->log_start_offset());
    for (size_t i = 1; i < found.size(); ++i) EXPECT_EQ(found[i].first, found[i - 1].second + 1);
    EXPECT_EQ(log->recovery_report().bytes_set_aside, 0u);
    log.reset();
    if (HasFailure()) return;
  }
  EXPECT_GT(nth, 1u);
  RecordProperty("kills", static_cast<int>(nth - 1));
}

INSTANTIATE_TEST_SUITE_P(
    Calls, KillSweepTest,
    ::testing::Combine(::testing::Values(FileCall::kWrite, FileCall::kRename, FileCall::kUnlink,
                                         FileCall::kTruncate, FileCall::kSync),
                       ::testing::Values(FaultEffect::kKillBefore, FaultEffect::kKillAfter)),
    [](const auto& test) { return "Fault" + std::to_string(test.index); });

}  // namespace
}  // namespace barnabas::storage
