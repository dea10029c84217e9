// What the log costs by itself: no socket, no request, no validation.
//
//   log_bench DIR append 16384 65536     appends batches of a size, ns for each
//   log_bench DIR read 16384 65536       finds the slice of random offsets, ns for each
//   log_bench DIR recover 4096           MiB of log to check after an unclean stop, GB/s
//   log_bench DIR open 10000             opens as many logs: seconds, resident memory, descriptors
//   log_bench DIR keep                   leaves a small log of many shapes for other tools to read
//
// DIR is made and removed again (not by `keep`).
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include "record/builder.h"
#include "storage/fd_cache.h"
#include "storage/log.h"

namespace {

namespace fs = std::filesystem;
using namespace barnabas;
using namespace barnabas::storage;

double seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

template <class T>
T check(Result<T> result) {
  if (result.ok()) return std::move(result).value();
  std::fprintf(stderr, "log_bench: %s\n", result.error().message.c_str());
  std::exit(1);
}
void check(const Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "log_bench: %s\n", status.error().message.c_str());
  std::exit(1);
}

std::vector<uint8_t> make_batch(size_t bytes, size_t value_bytes,
                                const record::BatchOptions& options = {},
                                int64_t timestamp = 1'700'000'000'000) {
  record::BatchBuilder builder(options);
  const std::vector<uint8_t> value(value_bytes, 'x');
  do {
    builder.append(timestamp++, std::nullopt, ByteView(value));
  } while (builder.size_bytes() + value_bytes < bytes);
  return check(builder.build());
}

std::unique_ptr<Log> open_log(const std::string& directory, FdCache& fds, bool clean = false,
                              int64_t recovery_point = 0, const LogConfig& config = {}) {
  LogOpenOptions options;
  options.clean_shutdown = clean;
  options.recovery_point = recovery_point;
  return check(Log::open(directory, {"bench", 0}, config, options, fds, system_clock()));
}

AppendInfo append(Log& log, std::vector<uint8_t>& bytes, int32_t epoch = 0) {
  AppendBatch batch;
  batch.bytes = bytes;
  return check(log.append(batch, epoch));
}

void bench_append(const std::string& directory, size_t batch_bytes, int count) {
  FdCache fds(64);
  const auto log = open_log(directory, fds);
  auto batch = make_batch(batch_bytes, 1000);
  const double start = seconds();
  for (int i = 0; i < count; ++i) append(*log, batch);
  const double spent = seconds() - start;
  std::printf("append  %zu B: %.0f ns a batch, %.2f GB/s\n", batch.size(), spent / count * 1e9,
              static_cast<double>(batch.size()) * count / spent / 1e9);
}

void bench_read(const std::string& directory, size_t batch_bytes, int count) {
  FdCache fds(64);
  const auto log = open_log(directory, fds);
  auto batch = make_batch(batch_bytes, 1000);
  for (int i = 0; i < count; ++i) append(*log, batch);
  std::mt19937_64 random(1);
  const int64_t end = log->log_end_offset();
  double start = seconds();
  for (int i = 0; i < count; ++i) {
    check(log->read(static_cast<int64_t>(random() % static_cast<uint64_t>(end)), 1 << 20, INT64_MAX,
                    true));
  }
  std::printf("read    anywhere: %.0f ns\n", (seconds() - start) / count * 1e9);
  start = seconds();
  for (int i = 0; i < count; ++i) check(log->read(end - 1 - i % 100, 1 << 20, INT64_MAX, true));
  std::printf("read    at the tail: %.0f ns\n", (seconds() - start) / count * 1e9);
}

void bench_recover(const std::string& directory, uint64_t mebibytes) {
  FdCache fds(64);
  uint64_t bytes = 0;
  {
    const auto log = open_log(directory, fds);
    auto batch = make_batch(16384, 1000);
    while (bytes < mebibytes << 20) {
      append(*log, batch);
      bytes += batch.size();
    }
  }
  const double start = seconds();
  const auto log = open_log(directory, fds);
  const double spent = seconds() - start;
  std::printf("recover %.2f GB: %.3f s, %.2f GB/s\n", static_cast<double>(bytes) / 1e9, spent,
              static_cast<double>(log->recovery_report().bytes_checked) / spent / 1e9);
}

uint64_t resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  uint64_t total = 0;
  uint64_t resident = 0;
  statm >> total >> resident;
  return resident * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
}

long open_descriptors() {
  return std::distance(fs::directory_iterator("/proc/self/fd"), fs::directory_iterator{});
}

void open_many(const std::string& directory, int count, const char* what, bool clean, bool write) {
  FdCache fds(1000);
  std::vector<std::unique_ptr<Log>> logs;
  auto batch = make_batch(2000, 100);
  const uint64_t before = resident_bytes();
  const double start = seconds();
  for (int i = 0; i < count; ++i) {
    logs.push_back(
        open_log(directory + "/t-" + std::to_string(i), fds, clean, clean ? INT64_MAX : 0));
  }
  const double opened = seconds() - start;
  std::printf("open    %d logs, %s: %.2f s, %.1f MB (%.0f B each), %ld descriptors\n", count, what,
              opened, static_cast<double>(resident_bytes() - before) / 1e6,
              static_cast<double>(resident_bytes() - before) / count, open_descriptors());
  if (write) {
    for (const auto& log : logs) {
      for (int i = 0; i < 10; ++i) append(*log, batch);
    }
    std::printf("        and ten batches into each: %.1f MB, %ld descriptors\n",
                static_cast<double>(resident_bytes() - before) / 1e6, open_descriptors());
  }
  const double closing = seconds();
  if (write) {
    for (const auto& log : logs) check(log->close());
    std::printf("        closed in %.2f s\n", seconds() - closing);
  }
}

void bench_open(const std::string& directory, int count) {
  fs::create_directories(directory);
  open_many(directory, count, "new", false, false);
  open_many(directory, count, "empty", true, true);
  open_many(directory, count, "written, clean stop", true, false);
  open_many(directory, count, "written, unclean stop", false, false);
}

void keep(const std::string& directory) {
  FdCache fds(64);
  LogConfig config;
  config.segment_bytes = 1 << 20;
  fs::remove_all(directory);
  const auto log = open_log(directory, fds, false, 0, config);
  std::mt19937_64 random(7);
  int32_t sequence[3] = {0, 0, 0};
  int64_t timestamp = 1'700'000'000'000;
  for (int i = 0; i < 2000; ++i) {
    record::BatchOptions options;
    options.codec = static_cast<record::Codec>(i % 5);
    const size_t producer = static_cast<size_t>(i) % 4;
    if (producer < 3) {
      options.producer_id = 1000 + static_cast<int64_t>(producer);
      options.producer_epoch = 1;
      options.base_sequence = sequence[producer];
    }
    timestamp += static_cast<int64_t>(random() % 100) - 40;  // not always forward
    auto batch = make_batch(200 + random() % 8000, 50 + random() % 400, options, timestamp);
    const int32_t records = record::BatchView(batch).record_count();
    if (producer < 3) sequence[producer] += records;
    append(*log, batch, i / 500);
  }
  check(log->close());
  std::printf("kept    %zu segments, offsets up to %lld\n", log->segment_count(),
              static_cast<long long>(log->log_end_offset()));
}

}  // namespace

int main(int argc, char** argv) {
  const auto number = [&](int n, long fallback) {
    return argc > n ? std::atol(argv[n]) : fallback;
  };
  if (argc < 3) {
    std::fprintf(stderr, "usage: log_bench DIR append|read|recover|open|keep [numbers]\n");
    return 2;
  }
  const std::string directory = argv[1];
  const std::string what = argv[2];
  if (what == "keep") {
    keep(directory);
    return 0;
  }
  if (what == "append")
    bench_append(directory, static_cast<size_t>(number(3, 16384)),
                 static_cast<int>(number(4, 65536)));
  if (what == "read")
    bench_read(directory, static_cast<size_t>(number(3, 16384)),
               static_cast<int>(number(4, 65536)));
  if (what == "recover") bench_recover(directory, static_cast<uint64_t>(number(3, 4096)));
  if (what == "open") bench_open(directory, static_cast<int>(number(3, 10000)));
  fs::remove_all(directory);
  return 0;
}
