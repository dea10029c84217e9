// A log in a temporary directory, with a clock that tests move, and batches to put into it.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "record/builder.h"
#include "storage/fd_cache.h"
#include "storage/log.h"

namespace barnabas::storage {

class ManualClock final : public Clock {
 public:
  [[nodiscard]] int64_t wall_ms() const override { return wall_ms_.load(); }
  [[nodiscard]] int64_t monotonic_ns() const override { return monotonic_ms_.load() * 1'000'000; }
  [[nodiscard]] int64_t steady_ms() const override { return wall_ms_.load(); }
  void advance_ms(int64_t ms) {
    wall_ms_ += ms;
    monotonic_ms_ += ms;
  }

 private:
  std::atomic<int64_t> wall_ms_ = 1'700'000'000'000;
  std::atomic<int64_t> monotonic_ms_ = 5'000'000;
};

inline std::vector<uint8_t> read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

class TemporaryDirectory {
 public:
  explicit TemporaryDirectory(
      const std::filesystem::path& parent = std::filesystem::temp_directory_path()) {
    std::string pattern = (parent / "barnabas-XXXXXX").string();
    EXPECT_NE(::mkdtemp(pattern.data()), nullptr);
    path_ = pattern;
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

struct BatchSpec {
  int records = 1;
  size_t value_bytes = 10;
  int64_t timestamp = 1'700'000'000'000;
  int64_t timestamp_step = 0;  // from record to record
  int64_t producer_id = record::kNoProducerId;
  int16_t producer_epoch = 0;
  int32_t base_sequence = 0;
  bool transactional = false;
  record::Codec codec = record::Codec::kNone;
  int64_t base_offset = 0;  // for followers
  int32_t leader_epoch = -1;
};

inline std::vector<uint8_t> make_batch(const BatchSpec& spec) {
  record::BatchOptions options;
  options.codec = spec.codec;
  if (spec.producer_id >= 0) {
    options.producer_id = spec.producer_id;
    options.producer_epoch = spec.producer_epoch;
    options.base_sequence = spec.base_sequence;
  }
  options.transactional = spec.transactional;
  options.base_offset = spec.base_offset;
  options.leader_epoch = spec.leader_epoch;
  record::BatchBuilder builder(options);
  const std::vector<uint8_t> value(spec.value_bytes, 'v');
  for (int i = 0; i < spec.records; ++i) {
    builder.append(spec.timestamp + i * spec.timestamp_step, std::nullopt, ByteView(value));
  }
  auto built = builder.build();
  EXPECT_TRUE(built.ok());
  return std::move(built).value();
}

class LogTest : public ::testing::Test {
 protected:
  LogTest() : directory(root.path() + "/topic-0") {}

  Result<std::unique_ptr<Log>> try_open(bool clean = false, int64_t recovery_point = 0,
                                        int64_t log_start_offset = 0) {
    LogOpenOptions options;
    options.clean_shutdown = clean;
    options.recovery_point = recovery_point;
    options.log_start_offset = log_start_offset;
    options.topic_id = topic_id;
    return Log::open(directory, {"topic", 0}, config, options, fds, clock);
  }
  void open(bool clean = false, int64_t recovery_point = 0, int64_t log_start_offset = 0) {
    log.reset();
    auto opened = try_open(clean, recovery_point, log_start_offset);
    ASSERT_TRUE(opened.ok()) << opened.error().message;
    log = std::move(opened).value();
  }
  /// As after SIGKILL: nothing is written out, and the next open is not a clean one.
  void crash_and_open() { open(false, log->recovery_point(), log->log_start_offset()); }
  void close_and_open() {
    const Status closed = log->close();
    ASSERT_TRUE(closed.ok()) << closed.error().message;
    open(true, log->recovery_point(), log->log_start_offset());
  }

  Result<AppendInfo> try_append(const BatchSpec& spec, int32_t leader_epoch = 0) {
    std::vector<uint8_t> bytes = make_batch(spec);
    AppendBatch batch;
    batch.bytes = bytes;
    return log->append(batch, leader_epoch);
  }
  AppendInfo append(const BatchSpec& spec = {}, int32_t leader_epoch = 0) {
    auto appended = try_append(spec, leader_epoch);
    EXPECT_TRUE(appended.ok()) << appended.error().message;
    return appended.ok() ? *appended : AppendInfo{};
  }
  ErrorCode append_error(const BatchSpec& spec) {
    const auto appended = try_append(spec);
    return appended.ok() ? ErrorCode::kNone : appended.error().code;
  }

  /// The bytes of a slice.
  static std::vector<uint8_t> bytes_of(const ReadSlice& slice) {
    std::vector<uint8_t> bytes(slice.file.length);
    if (bytes.empty()) return bytes;
    const auto got = read_at(slice.file.file->get(), bytes, slice.file.position, slice.path);
    EXPECT_TRUE(got.ok());
    bytes.resize(got.ok() ? *got : 0);
    return bytes;
  }
  /// (base offset, last offset) of every batch from `offset` to the end, read slice by slice.
  std::vector<std::pair<int64_t, int64_t>> batches_from(int64_t offset, uint64_t max_bytes = 4096) {
    std::vector<std::pair<int64_t, int64_t>> found;
    while (offset < log->log_end_offset()) {
      auto slice = log->read(offset, max_bytes, INT64_MAX, true);
      EXPECT_TRUE(slice.ok()) << slice.error().message;
      if (!slice.ok()) return found;
      const std::vector<uint8_t> bytes = bytes_of(*slice);
      ByteView rest(bytes);
      const int64_t before = offset;
      while (const auto batch = record::peek_batch(rest)) {
        found.emplace_back(batch->base_offset(), batch->last_offset());
        offset = batch->next_offset();
        rest = rest.subspan(batch->size_bytes());
      }
      EXPECT_GT(offset, before) << "a read that gets nowhere";
      if (offset <= before) return found;
    }
    return found;
  }

  [[nodiscard]] std::string file(const std::string& name) const { return directory + "/" + name; }
  [[nodiscard]] std::string log_file(int64_t base_offset = 0) const {
    char name[32];
    std::snprintf(name, sizeof name, "%020lld", static_cast<long long>(base_offset));
    return file(name);
  }
  /// The names in the directory that end with `file_suffix`, sorted.
  [[nodiscard]] std::vector<std::string> names_with(const std::string& file_suffix) const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(directory)) {
      const std::string name = entry.path().filename().string();
      if (name.ends_with(file_suffix)) names.push_back(name);
    }
    std::sort(names.begin(), names.end());
    return names;
  }

  TemporaryDirectory root;
  const std::string directory;
  LogConfig config;
  std::optional<Uuid> topic_id;
  ManualClock clock;
  FdCache fds{16};
  std::unique_ptr<Log> log;
};

}  // namespace barnabas::storage
