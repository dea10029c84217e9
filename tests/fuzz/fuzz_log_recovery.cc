// Fuzzes the loading of a log after a crash: whatever stands in the files of a partition, opening
// ends with a log or an error, what is readable is whole batches with right checksums, and a second
// opening finds the same.
//
// Input: five lengths (uint16, big-endian) and the bytes of .log, .index, .timeindex, .snapshot and
// leader-epoch-checkpoint.
#include <fcntl.h>
#include <stdlib.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "base/crc32c.h"
#include "base/logger.h"
#include "record/batch.h"
#include "storage/bare_log.h"

using namespace barnabas;
using namespace barnabas::storage;

namespace {

constexpr std::array<const char*, 5> kFiles = {
    "00000000000000000000.log", "00000000000000000000.index", "00000000000000000000.timeindex",
    "00000000000000000005.snapshot", "leader-epoch-checkpoint"};

void require(bool condition) {
  if (!condition) std::abort();
}

/// A directory in memory where there is one: thousands of logs a second.
std::filesystem::path fresh_directory() {
  static const std::filesystem::path root = [] {
    set_log_sink([](LogLevel, std::string_view, std::string_view) {});
    const bool in_memory = std::filesystem::is_directory("/dev/shm");
    std::string name = std::string(in_memory ? "/dev/shm" : "/tmp") + "/barnabas-fuzz-XXXXXX";
    require(::mkdtemp(name.data()) != nullptr);
    static const std::string kept = name;
    std::atexit([] { std::filesystem::remove_all(kept); });
    return std::filesystem::path(name);
  }();
  const auto directory = root / "topic-0";
  std::filesystem::remove_all(directory);
  std::filesystem::create_directory(directory);
  return directory;
}

struct Ends {
  int64_t start = -1;
  int64_t end = -1;
  bool operator==(const Ends&) const = default;
};

Ends open_and_read(const std::filesystem::path& directory) {
  auto opened = BareLog::open(directory, LogConfig{}, /*read_only=*/false);
  if (!opened.ok()) return {};
  Log& log = (*opened)->log();
  const Ends ends{log.log_start_offset(), log.log_end_offset()};
  require(ends.start <= ends.end);
  for (int64_t offset = ends.start; offset < ends.end;) {
    const auto slice = log.read(offset, 1, ends.end, /*at_least_one=*/true);
    require(slice.ok() && slice->first_batch_bytes > 0);
    std::vector<uint8_t> bytes(slice->first_batch_bytes);
    const FileSlice& file = slice->file;
    const auto got = read_at(file.file->get(), bytes, file.position, slice->path);
    require(got.ok() && *got == bytes.size());
    const record::BatchView batch(bytes);
    require(crc32c(batch.crc_payload()) == batch.crc());
    require(batch.base_offset() + batch.last_offset_delta() >= offset);
    offset = batch.base_offset() + batch.last_offset_delta() + 1;
  }
  (void)(*opened)->close().ok();
  return ends;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr size_t kHeaderBytes = kFiles.size() * 2;
  if (size < kHeaderBytes) return 0;
  const auto directory = fresh_directory();
  ByteView rest(data + kHeaderBytes, size - kHeaderBytes);
  for (size_t i = 0; i < kFiles.size(); ++i) {
    const size_t length = std::min<size_t>(load_be<uint16_t>(data + 2 * i), rest.size());
    if (length == 0 && i > 0) continue;
    std::ofstream file(directory / kFiles[i], std::ios::binary);
    file.write(reinterpret_cast<const char*>(rest.data()), static_cast<std::streamsize>(length));
    rest = rest.subspan(length);
  }
  const Ends first = open_and_read(directory);
  if (first.end >= 0) require(open_and_read(directory) == first);
  return 0;
}
