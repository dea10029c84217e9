// How a compacted segment takes the place of others: readers, retention and crashes meanwhile.
#include <sys/wait.h>

#include <cerrno>

#include "base/faulty_file_system.h"
#include "clean_fixture.h"
#include "every_step.h"

namespace barnabas::storage {
namespace {

class SwapTest : public CleanTest {};

TEST_F(SwapTest, AReaderKeepsWhatItHoldsThroughASwap) {
  open();
  fill(60);
  const auto held = log->read(0, 1 << 20, INT64_MAX, true);
  ASSERT_TRUE(held.ok());
  const auto before = bytes_of(*held);
  // At every step, a reader finds either the old or the new.
  const auto whole = state();
  CleanSettings settings;
  settings.on_step = [&](CleanStep) {
    std::map<std::string, KeyValue> seen;
    for (const KeyValue& record : records()) seen[*record.key] = record;
    ASSERT_EQ(seen, whole);
    ASSERT_TRUE(log->scrub({}).value().empty());
  };
  clean(settings);
  EXPECT_EQ(bytes_of(*held), before);
  EXPECT_EQ(state(), whole);
  for (int64_t offset = 0; offset < log->log_end_offset(); ++offset) {
    const auto slice = log->read(offset, 1, INT64_MAX, true);
    ASSERT_TRUE(slice.ok());
    const auto batch = bytes_of(*slice);
    ASSERT_GE(record::BatchView{ByteView(batch)}.last_offset(), offset);
  }
  EXPECT_EQ(log->offset_for_timestamp(0)->offset, records().front().offset);
}

TEST_F(SwapTest, WhatRetentionTookMeanwhileStaysGone) {
  config.delete_old = true;
  config.file_delete_delay_ms = 0;
  open();
  fill(60);
  CleanSettings settings;
  bool first = true;
  settings.on_step = [&](CleanStep step) {
    if (step != CleanStep::kCleaned || !std::exchange(first, false)) return;
    ASSERT_TRUE(log->advance_log_start_offset(100).ok());
  };
  clean(settings);
  EXPECT_GT(log->cleaned_offset(), 100);
  EXPECT_EQ(log->log_start_offset(), 100);
  EXPECT_TRUE(names_with(".cleaned").empty());
  EXPECT_TRUE(names_with(".swap").empty());
  for (const auto& name : names_with(".log")) EXPECT_GT(std::stoll(name), 80) << name;
  crash_and_open();
  EXPECT_EQ(log->log_start_offset(), 100);
}

TEST_F(SwapTest, APassOfWhichRetentionTookEverythingSaysSo) {
  config.delete_old = true;
  open();
  fill(60);
  CleanSettings settings;
  settings.on_step = [&](CleanStep step) {
    if (step == CleanStep::kCleaned) {
      EXPECT_TRUE(log->advance_log_start_offset(log->log_end_offset()).ok());
    }
  };
  const auto none = log->clean(log->log_end_offset(), settings);
  ASSERT_FALSE(none.ok());  // else it would look like a map that is too small
  EXPECT_EQ(none.error().code, ErrorCode::kRequestTimedOut);
  EXPECT_TRUE(names_with(".cleaned").empty());
  fill(60);
  EXPECT_GT(clean().segments_before, 1u);
}

TEST_F(SwapTest, WhatRetentionTookMeanwhileDecidesNoLaterTransaction) {
  config.delete_old = true;
  config.segment_bytes = 1 << 20;
  open();
  const auto next_segment = [this] { ASSERT_TRUE(log->roll().ok()); };
  put({{"x", "1"}});
  next_segment();
  // Begun before, aborted in what is taken; begun there, aborted after it.
  put_in_transaction(1, 0, {{"a", "aborted"}});
  put_in_transaction(2, 0, {{"b", "aborted"}});
  put_marker(1, false);
  put_in_transaction(3, 0, {{"c", "committed"}});
  next_segment();
  const int64_t start = log->log_end_offset();
  put_in_transaction(2, 1, {{"b", "aborted"}});
  put_marker(2, false);
  put_marker(3, true);
  put_in_transaction(1, 1, {{"a", "committed"}});
  put_marker(1, true);
  next_segment();
  put({{"x", "2"}});
  config.segment_bytes = 1;  // nothing is joined
  log->set_config(config);
  CleanSettings settings;
  bool first = true;
  settings.on_step = [&](CleanStep step) {
    if (step != CleanStep::kCleaned || !std::exchange(first, false)) return;
    EXPECT_TRUE(log->advance_log_start_offset(start).ok());
  };
  const CleanStats stats = clean(settings);
  EXPECT_EQ(stats.segments_before, 1u);
  EXPECT_EQ(stats.records_kept, stats.records_read - 1);  // b alone goes
  const auto left = records();
  ASSERT_EQ(left.size(), 2u);
  EXPECT_EQ(left[0].value, "committed");
  EXPECT_EQ(left[1].value, "2");
}

TEST_F(SwapTest, TheScrubberFindsWhatChangedAndCutsNothing) {
  open();
  fill(60);
  EXPECT_TRUE(log->scrub({}).value().empty());
  const auto names = names_with(".log");
  for (const size_t n : {size_t{1}, names.size() - 1}) {  // the last one is still written to
    std::fstream stream(file(names[n]), std::ios::binary | std::ios::in | std::ios::out);
    stream.seekp(80);
    stream.put('!');
  }
  const auto size = fs::file_size(file(names[1]));
  const auto findings = log->scrub({});
  ASSERT_EQ(findings.value().size(), 1u);
  EXPECT_NE(
      findings->front().message.find(names[1] + ": a batch whose CRC does not match at byte 0"),
      std::string::npos);
  EXPECT_EQ(fs::file_size(file(names[1])), size);
  EXPECT_EQ(log->scrub([](uint64_t) { return false; }).error().code, ErrorCode::kRequestTimedOut);
}

/// Runs `clean` in a process that dies at the n-th step; false when there are fewer steps.
bool killed_at(int n, const std::function<void(const CleanSettings&)>& clean) {
  const pid_t child = ::fork();
  if (child == 0) {
    int left = n;
    CleanSettings settings;
    settings.on_step = [&left](CleanStep) {
      if (left-- == 0) ::_exit(17);
    };
    clean(settings);
    ::_exit(0);
  }
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  return WEXITSTATUS(status) == 17;
}

TEST_F(SwapTest, AKillAtAnyStepLosesNothingAndBringsNothingBack) {
  // A tombstone past its horizon, so that something could come back.
  config.delete_retention_ms = 0;
  config.segment_bytes = 900;
  open();
  put({{"gone", "1"}});
  fill(4);
  put({{"gone", std::nullopt}});
  ASSERT_TRUE(log->roll().ok());
  clean();
  clock.advance_ms(10);
  fill(6, 7);
  ASSERT_TRUE(log->roll().ok());
  ASSERT_TRUE(log->flush().ok());
  auto expected = state();
  EXPECT_EQ(expected.erase("gone"), 1u);
  ASSERT_TRUE(log->close().ok());
  log.reset();
  const std::string kept = root.path() + "/kept";
  fs::copy(directory, kept);
  int steps = 0;
  for (bool killed = true; killed; ++steps) {
    fs::remove_all(directory);
    fs::copy(kept, directory);
    open(true);
    killed = killed_at(steps, [this](const CleanSettings& settings) {
      (void)log->clean(log->log_end_offset(), settings);
    });
    const int64_t end = log->log_end_offset();
    open(false, end);
    ASSERT_EQ(log->log_end_offset(), end);
    ASSERT_EQ(log->recovery_report().bytes_set_aside + log->recovery_report().bytes_cut, 0u);
    for (const char* leftover : {".cleaned", ".swap", ".deleted"}) {
      ASSERT_TRUE(names_with(leftover).empty()) << leftover << " after step " << steps;
    }
    auto found = state();
    const auto tombstone = found.extract("gone");
    if (!tombstone.empty()) {
      ASSERT_EQ(tombstone.mapped().value, std::nullopt);
    }
    ASSERT_EQ(found, expected) << "killed at step " << steps;
    // And compaction goes on from there.
    clean();
    ASSERT_EQ(state(), expected);
  }
  EXPECT_GT(steps, 20);
}

/// Files of a directory and what they hold.
class SwapDamageTest : public SwapTest {
 protected:
  using Files = std::map<std::string, std::string>;

  Files files() {
    Files found;
    for (const auto& name : names_with("")) {
      std::ifstream in(file(name), std::ios::binary);
      found[name] = {std::istreambuf_iterator<char>(in), {}};
    }
    return found;
  }
  void put_back(const Files& kept) {
    log.reset();
    for (const auto& name : names_with("")) {
      if (!kept.contains(name)) fs::remove(file(name));
    }
    for (const auto& [name, bytes] : kept) std::ofstream(file(name), std::ios::binary) << bytes;
  }
  Result<std::unique_ptr<Log>> opened() {
    return Log::open(directory, {"topic", 0}, config, {}, fds, clock);
  }
  /// What kills in a compaction, at a sample of its steps, leave that is to be finished; `state` is
  /// what has to be there.
  std::vector<Files> decided_swaps() {
    // Keys that come again throughout, and some at the end alone: later segments hold what matters.
    config.segment_bytes = 900;
    open();
    fill(14, 47);
    expected = state();
    end = log->log_end_offset();
    EXPECT_TRUE(log->close().ok());
    log.reset();
    const Files before = files();
    std::vector<Files> decided;
    int steps = 0;
    for (bool killed = true; killed; steps = next_step(steps)) {
      put_back(before);
      open(true);
      killed = killed_at(steps, [this](const CleanSettings& settings) {
        (void)log->clean(log->log_end_offset(), settings);
      });
      log.reset();
      const auto swaps = names_with(".log.swap");
      if (!names_with(".cleaned").empty() || swaps.empty()) continue;
      if (fs::file_size(file(swaps[0])) > 0) decided.push_back(files());
    }
    return decided;
  }
  /// The log is what it was, and nothing is left over.
  void expect_finished() {
    open(false, end);
    ASSERT_EQ(state(), expected);
    ASSERT_EQ(log->recovery_report().bytes_set_aside + log->recovery_report().bytes_cut, 0u);
    for (const char* leftover : {".cleaned", ".swap", ".deleted", ".log.crc"}) {
      ASSERT_TRUE(names_with(leftover).empty()) << leftover;
    }
  }
  static void flip(Files& files, const std::string& name, size_t bit) {
    char& byte = files.at(name).at(bit / 8);
    byte = static_cast<char>(byte ^ (1 << (7 - bit % 8)));
  }

  std::map<std::string, KeyValue> expected;
  int64_t end = 0;
};

TEST_F(SwapDamageTest, AWrongBitInTheLastBatchOfASwapTakesNothingAway) {
  const auto decided = decided_swaps();
  ASSERT_GT(decided.size(), 5u);
  for (size_t n = 0; n < decided.size(); ++n) {
    put_back(decided[n]);
    const std::string swap = names_with(".log.swap").at(0);
    const std::string& whole = decided[n].at(swap);
    size_t last = 0;
    ByteView rest = as_bytes(whole);
    while (const auto batch = record::peek_batch(rest)) {
      last = whole.size() - rest.size();
      rest = rest.subspan(batch->size_bytes());
    }
    // Of all of its header once; of the others those that make it end where other segments are.
    const int first = n == 0 ? 0 : 50;
    const int end_bit = n == 0 ? static_cast<int>(8 * record::kBatchHeaderSize) : 64;
    for (int bit = first; bit < end_bit; bit = n == 0 ? next_step(bit) : bit + 1) {
      SCOPED_TRACE("swap " + std::to_string(n) + ", bit " + std::to_string(bit));
      Files damaged = decided[n];
      flip(damaged, swap, 8 * last + static_cast<size_t>(bit));
      put_back(damaged);
      const auto refused = opened();
      ASSERT_FALSE(refused.ok());
      ASSERT_EQ(refused.error().code, ErrorCode::kCorruptMessage);
      ASSERT_NE(refused.error().message.find(swap), std::string::npos) << refused.error().message;
      ASSERT_EQ(files(), damaged);
    }
    put_back(decided[n]);
    expect_finished();
  }
}

TEST_F(SwapDamageTest, ASwapWithoutAChecksumIsCheckedBatchByBatch) {
  Files decided = decided_swaps().at(0);
  put_back(decided);
  decided.erase(names_with(".log.crc.swap").at(0));
  const std::string swap = names_with(".log.swap").at(0);
  Files damaged = decided;
  flip(damaged, swap, 8 * damaged.at(swap).size() - 1);
  put_back(damaged);
  ASSERT_FALSE(opened().ok());
  ASSERT_EQ(files(), damaged);
  put_back(decided);  // as one of Apache Kafka's
  expect_finished();
}

TEST_F(SwapDamageTest, ByTheWayOutThatIsToldNothingIsLost) {
  for (Files damaged : decided_swaps()) {
    put_back(damaged);
    const std::string swap = names_with(".log.swap").at(0);
    flip(damaged, swap, 8 * damaged.at(swap).size() - 1);
    put_back(damaged);
    const auto refused = opened();
    ASSERT_FALSE(refused.ok());
    ASSERT_NE(refused.error().message.find("remove what ends with .swap"), std::string::npos);
    for (const auto& name : names_with(".swap")) fs::remove(file(name));
    for (const auto& name : names_with(".deleted")) {
      fs::rename(file(name), file(name.substr(0, name.size() - std::string(".deleted").size())));
    }
    expect_finished();
  }
}

class SwapFaultTest : public SwapTest, public ::testing::WithParamInterface<FileCall> {};

TEST_P(SwapFaultTest, AFaultInAnyCallLosesNothing) {
  config.segment_bytes = 900;
  open();
  fill(20, 7);
  ASSERT_TRUE(log->roll().ok());
  clean();  // what is left is small, and will be joined
  fill(20, 9);
  ASSERT_TRUE(log->roll().ok());
  const auto expected = state();
  ASSERT_TRUE(log->close().ok());
  log.reset();
  const std::string kept = root.path() + "/kept";
  fs::copy(directory, kept);
  FaultyFileSystem& files = FaultyFileSystem::instance();
  int nth = 1;
  for (bool struck = true; struck; nth = next_step(nth)) {
    SCOPED_TRACE("call " + std::to_string(nth));
    fs::remove_all(directory);
    fs::copy(kept, directory);
    open(true);
    const uint64_t fault =
        files.add({GetParam(), {"*"}, FaultEffect::kFail, EIO, static_cast<uint64_t>(nth), 1});
    (void)log->clean(log->log_end_offset(), {});
    struck = files.count(fault).struck > 0;
    files.remove(fault);
    if (!log->offline()) {
      ASSERT_EQ(state(), expected);
    }
    const int64_t end = log->log_end_offset();
    open(false, end);
    ASSERT_EQ(log->log_end_offset(), end);
    ASSERT_EQ(log->recovery_report().bytes_set_aside + log->recovery_report().bytes_cut, 0u);
    ASSERT_EQ(state(), expected);
    clean();
    ASSERT_EQ(state(), expected);
  }
  EXPECT_GT(nth, 2);
}

INSTANTIATE_TEST_SUITE_P(Calls, SwapFaultTest,
                         ::testing::Values(FileCall::kOpen, FileCall::kWrite, FileCall::kRead,
                                           FileCall::kSync, FileCall::kRename),
                         [](const auto& test) { return "Fault" + std::to_string(test.index); });

TEST_F(SwapTest, AFailedFsyncOfItsNamesIsForGood) {
  open();
  fill(60);
  FaultyFileSystem& files = FaultyFileSystem::instance();
  uint64_t fault = 0;
  CleanSettings settings;
  settings.on_step = [&](CleanStep step) {
    if (step != CleanStep::kSwapNamed || fault != 0) return;
    fault = files.add({FileCall::kSync, {directory}, FaultEffect::kFail, EIO, 1, 1});
  };
  EXPECT_FALSE(log->clean(log->log_end_offset(), settings).ok());
  EXPECT_EQ(files.count(fault).struck, 1u);
  files.remove(fault);
  EXPECT_TRUE(log->offline());
  EXPECT_FALSE(log->flush().ok());
}

TEST_F(SwapTest, AFailedFsyncOfANewSegmentIsForGood) {
  for (const char* what : {"*.log.cleaned", "*.index.cleaned", "*.timeindex.cleaned"}) {
    SCOPED_TRACE(what);
    fs::remove_all(directory);
    open();
    fill(60);
    const auto before = state();
    FaultyFileSystem& files = FaultyFileSystem::instance();
    const uint64_t fault =
        files.add({FileCall::kSync, {directory + "/" + what}, FaultEffect::kFail, EIO, 1, 1});
    const auto cleaned = log->clean(log->log_end_offset(), {});
    ASSERT_FALSE(cleaned.ok());
    EXPECT_NE(cleaned.error().message.find(directory + "/"), std::string::npos);
    EXPECT_EQ(files.count(fault).struck, 1u);
    files.remove(fault);
    EXPECT_TRUE(log->offline());
    EXPECT_FALSE(log->flush().ok());
    EXPECT_FALSE(log->clean(log->log_end_offset(), {}).ok());
    open();  // in another process
    EXPECT_EQ(state(), before);
    EXPECT_TRUE(names_with(".cleaned").empty());
  }
}

TEST_F(SwapTest, AKillAtAnyStepAndAnotherAfterANewCleanupPolicyLoseNothing) {
  open();
  fill(60);
  const auto expected = state();
  const std::string kept = root.path() + "/kept";
  fs::copy(directory, kept);
  const std::string checkpoint = root.path() + "/recovery-point";
  int steps = 0;
  for (bool killed = true; killed; steps = next_step(steps)) {
    SCOPED_TRACE("killed at step " + std::to_string(steps));
    fs::remove_all(directory);
    fs::remove(checkpoint);
    fs::copy(kept, directory);
    config.compact = true;
    open();
    killed = killed_at(steps, [&](CleanSettings settings) {
      settings.before_swaps = [&] {
        std::ofstream(checkpoint) << log->recovery_point();
        return Status();
      };
      (void)log->clean(log->log_end_offset(), settings);
    });
    int64_t recovery_point = 0;
    std::ifstream(checkpoint) >> recovery_point;
    open(false, recovery_point);  // what it was cleaned up to is on no disk
    config.compact = false;
    log->set_config(config);
    open(false, log->recovery_point());
    ASSERT_EQ(log->recovery_report().bytes_set_aside + log->recovery_report().bytes_cut, 0u);
    ASSERT_EQ(state(), expected);
  }
  EXPECT_GT(steps, 20);
}

TEST_F(SwapTest, WhatIsHalfCompactedIsNoLossToRecovery) {
  open();
  fill(60);
  const auto before = state();
  int done = 0;
  CleanSettings settings;
  settings.on_step = [&](CleanStep step) {
    if (step != CleanStep::kDone || ++done < 5) return;
    config.compact = false;
    log->set_config(config);
  };
  EXPECT_EQ(log->clean(log->log_end_offset(), settings).error().code, ErrorCode::kRequestTimedOut);
  LogOpenOptions options;
  options.cleaned_offset = log->cleaned_offset();
  log.reset();
  auto opened = Log::open(directory, {"topic", 0}, config, options, fds, clock);
  ASSERT_TRUE(opened.ok());
  log = std::move(opened).value();
  EXPECT_EQ(log->recovery_report().bytes_set_aside, 0u);
  EXPECT_EQ(state(), before);
}

}  // namespace
}  // namespace barnabas::storage
