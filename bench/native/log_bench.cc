// What the log costs by itself: no socket, no request, no validation.
//
// Files lie in the system's temporary directory and are removed.
#include <benchmark/benchmark.h>

#include <random>

#include "fixture.h"

namespace barnabas::bench {
namespace {

namespace fs = std::filesystem;
using storage::FdCache;
using storage::Log;

constexpr int64_t kMaxLogBytes = 256 << 20;  // of the page cache, that is
constexpr int kLookupBatches = 4096;

// -- writing

void append_batches(benchmark::State& state) {
  const TemporaryDirectory directory;
  FdCache fds(64);
  const auto log = open_log(directory.path() + "/bench-0", fds);
  Bytes batch =
      make_batch(static_cast<size_t>(state.range(0)), static_cast<size_t>(state.range(1)));
  for (auto _ : state) {
    append(*log, batch);
    if (log->size_bytes() > kMaxLogBytes) {
      state.PauseTiming();
      check(log->truncate_to(0));
      state.ResumeTiming();
    }
  }
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(batch.size()));
}
BENCHMARK(append_batches)
    ->ArgNames({"value_B", "batch_B"})
    ->Args({100, 0})  // a single record
    ->Args({1000, 0})
    ->Args({100, kBatchBytes})
    ->Args({1000, kBatchBytes});

// -- finding

/// A log whose batches, of 16 KiB, are a second apart.
struct FilledLog {
  FilledLog() {
    for (int i = 0; i < kLookupBatches; ++i) {
      Bytes batch = make_batch(1000, kBatchBytes, {}, kNowMs + 1000 * i);
      append(*log, batch);
    }
  }
  TemporaryDirectory directory;
  FdCache fds{64};
  std::unique_ptr<Log> log = open_log(directory.path() + "/bench-0", fds);
  std::mt19937_64 random{1};
};

void find_any_offset(benchmark::State& state) {
  FilledLog filled;
  const auto end = static_cast<uint64_t>(filled.log->log_end_offset());
  for (auto _ : state) {
    const auto offset = static_cast<int64_t>(filled.random() % end);
    benchmark::DoNotOptimize(check(filled.log->read(offset, 1 << 20, INT64_MAX, true)));
  }
}
BENCHMARK(find_any_offset);

void find_offset_at_the_tail(benchmark::State& state) {
  FilledLog filled;
  const int64_t end = filled.log->log_end_offset();
  int64_t i = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(
        check(filled.log->read(end - 1 - i++ % 100, 1 << 20, INT64_MAX, true)));
  }
}
BENCHMARK(find_offset_at_the_tail);

void find_any_timestamp(benchmark::State& state) {
  FilledLog filled;
  for (auto _ : state) {
    const auto after_ms = static_cast<int64_t>(filled.random() % (1000ULL * kLookupBatches));
    benchmark::DoNotOptimize(check(filled.log->offset_for_timestamp(kNowMs + after_ms - 999)));
  }
}
BENCHMARK(find_any_timestamp);

// -- opening

void recover_after_unclean_stop(benchmark::State& state) {
  const TemporaryDirectory directory;
  const std::string path = directory.path() + "/bench-0";
  FdCache fds(64);
  const auto bytes = static_cast<uint64_t>(state.range(0)) << 20;
  {
    const auto log = open_log(path, fds);
    Bytes batch = make_batch(1000, kBatchBytes);
    while (log->size_bytes() < bytes) append(*log, batch);
  }
  for (auto _ : state) {
    const auto log = open_log(path, fds);
    if (log->recovery_report().bytes_checked < bytes) die("the log was not checked");
  }
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(bytes));
}
BENCHMARK(recover_after_unclean_stop)->ArgName("MiB")->Arg(64)->Unit(benchmark::kMillisecond);

double open_descriptors() {
  const fs::directory_iterator begin("/proc/self/fd");
  return static_cast<double>(std::distance(begin, fs::directory_iterator{}));
}

std::vector<std::unique_ptr<Log>> open_logs(const std::string& directory, int64_t count,
                                            FdCache& fds, const storage::LogOpenOptions& options) {
  std::vector<std::unique_ptr<Log>> logs;
  logs.reserve(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) {
    logs.push_back(open_log(directory + "/bench-" + std::to_string(i), fds, options));
  }
  return logs;
}

/// Time to open as many logs after a clean stop, and what each holds while it is open.
void open_after_clean_stop(benchmark::State& state) {
  const TemporaryDirectory directory;
  FdCache fds(100);
  Bytes batch = make_batch(100, 2000);
  for (const auto& log : open_logs(directory.path(), state.range(0), fds, {})) {
    for (int i = 0; i < 10; ++i) append(*log, batch);
    check(log->close());
  }
  const double descriptors_before = open_descriptors();
  const double allocated_before = allocated_bytes();
  double descriptors = 0;
  double allocated = 0;
  for (auto _ : state) {
    const auto logs = open_logs(directory.path(), state.range(0), fds,
                                {.clean_shutdown = true, .recovery_point = INT64_MAX});
    state.PauseTiming();
    descriptors = open_descriptors() - descriptors_before;
    allocated = allocated_bytes() - allocated_before;
    state.ResumeTiming();
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
  state.counters["B_a_log"] = allocated / static_cast<double>(state.range(0));
  state.counters["descriptors"] = descriptors;
}
BENCHMARK(open_after_clean_stop)->ArgName("logs")->Arg(2000)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace barnabas::bench
