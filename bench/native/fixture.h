// What the native benchmarks share: a directory of their own, a clock that stands still, batches
// and logs. A benchmark that cannot go on says why and ends the program.
#pragma once

#include <malloc.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "record/builder.h"
#include "storage/fd_cache.h"
#include "storage/log.h"

namespace barnabas::bench {

using Bytes = std::vector<uint8_t>;

inline constexpr int64_t kNowMs = 1'700'000'000'000;
inline constexpr size_t kBatchBytes = 16 << 10;  // a producer's batch.size

[[noreturn]] inline void die(const std::string& why) {
  std::fprintf(stderr, "%s\n", why.c_str());
  std::exit(1);
}

template <class T>
T check(Result<T> result) {
  if (!result.ok()) die(result.error().message);
  return std::move(result).value();
}

inline void check(const Status& status) {
  if (!status.ok()) die(status.error().message);
}

/// Always the same time, and no system call to ask for it.
class StoppedClock final : public Clock {
 public:
  [[nodiscard]] int64_t wall_ms() const override { return kNowMs; }
  [[nodiscard]] int64_t monotonic_ns() const override { return 1'000'000'000; }
  [[nodiscard]] int64_t steady_ms() const override { return kNowMs; }
};

inline Clock& stopped_clock() {
  static StoppedClock clock;
  return clock;
}

/// Removed with all that is in it.
class TemporaryDirectory {
 public:
  TemporaryDirectory()
      : path_((std::filesystem::temp_directory_path() / "barnabas-XXXXXX").string()) {
    if (::mkdtemp(path_.data()) == nullptr) die(system_error(path_).message);
  }
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

/// What the process has allocated and not given back.
inline double allocated_bytes() {
  const struct mallinfo2 info = ::mallinfo2();
  return static_cast<double>(info.uordblks) + static_cast<double>(info.hblkhd);
}

/// As many values of `value_bytes` as make a batch of about `batch_bytes` before compression; one
/// at least. Letters that compress to about half.
inline std::vector<std::string> make_values(size_t value_bytes, size_t batch_bytes) {
  constexpr size_t kRecordOverhead = 10;  // about
  std::vector<std::string> values;
  uint32_t state = 1;
  size_t bytes = record::kBatchHeaderSize;
  do {
    std::string& value = values.emplace_back(value_bytes, ' ');
    for (char& c : value) {
      c = static_cast<char>('a' + ((state = state * 1664525 + 1013904223) >> 28));
    }
    bytes += value_bytes + kRecordOverhead;
  } while (bytes + value_bytes + kRecordOverhead <= batch_bytes);
  return values;
}

inline Bytes build_batch(const std::vector<std::string>& values,
                         const record::BatchOptions& options = {}, int64_t timestamp_ms = kNowMs) {
  record::BatchBuilder builder(options);
  for (const auto& value : values) builder.append(timestamp_ms, std::nullopt, as_bytes(value));
  return check(builder.build());
}

inline Bytes make_batch(size_t value_bytes, size_t batch_bytes,
                        const record::BatchOptions& options = {}, int64_t timestamp_ms = kNowMs) {
  return build_batch(make_values(value_bytes, batch_bytes), options, timestamp_ms);
}

inline std::unique_ptr<storage::Log> open_log(const std::string& directory, storage::FdCache& fds,
                                              const storage::LogOpenOptions& options = {}) {
  return check(storage::Log::open(directory, {"bench", 0}, {}, options, fds, stopped_clock()));
}

inline storage::AppendInfo append(storage::Log& log, Bytes& batch) {
  return check(log.append({batch}, 0));
}

}  // namespace barnabas::bench
