#include "storage/log_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <vector>

#include "base/fd.h"
#include "base/logger.h"
#include "storage/batch_reader.h"
#include "storage/checksum_file.h"
#include "storage/log_file_name.h"
#include "storage/set_aside.h"

namespace barnabas::storage {
namespace fs = std::filesystem;
namespace {

constexpr size_t kSwapBufferBytes = 1 << 20;

struct NamedFile {
  std::string name;
  int64_t offset = 0;
  std::string suffix;
};

Result<std::vector<NamedFile>> list_offset_files(const std::string& directory) {
  std::vector<NamedFile> files;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(directory, error)) {
    std::string name = entry.path().filename().string();
    const auto parsed = parse_log_file_name(name);
    if (!parsed || !entry.is_regular_file(error)) continue;
    std::string file_suffix(parsed->suffix);
    files.push_back({std::move(name), parsed->offset, std::move(file_suffix)});
  }
  if (error) {
    return Error{ErrorCode::kKafkaStorageError, directory + ": " + error.message(), error.value()};
  }
  return files;
}

Status remove_named(const std::string& directory, const std::string& name, const char* why) {
  const std::string path = directory + "/" + name;
  log(LogLevel::kInfo, "storage", "removing " + path + ": " + why);
  return remove_file(path);
}

bool is_swap_of(const NamedFile& file, std::string_view file_suffix) {
  return file.suffix == std::string(file_suffix) + std::string(suffix::kSwap);
}

/// What is wrong with a segment that is to be swapped in: what it was made from must not go then.
Error bad_swap(const std::string& path, const std::string& why) {
  return Error{
      ErrorCode::kCorruptMessage,
      path + ": " + why +
          "; nothing was removed. Put the file back as it was, or remove what ends with .swap "
          "and take .deleted from the names of the rest, which it was made from",
      0};
}

/// The offset after the last batch of a segment that is to be swapped in, of which every byte is
/// what compaction wrote; of one by Apache Kafka, or an earlier version, which has no checksum,
/// every batch is good.
Result<int64_t> next_offset_of_swap(const std::string& path, int64_t base_offset) {
  BARNABAS_ASSIGN(const UniqueFd fd, open_file(path, O_RDONLY));
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) return system_error(path);
  const auto size = static_cast<uint64_t>(info.st_size);
  BatchReader reader(fd.get(), path, 0, size, kSwapBufferBytes,
                     OffsetOrder({.base_offset = base_offset}));
  Checksum found;
  int64_t next_offset = base_offset;
  while (true) {
    auto batch = reader.next();
    if (!batch.ok() && batch.error().code == ErrorCode::kCorruptMessage) {
      return bad_swap(path, batch.error().message.substr(path.size() + 2));
    }
    if (!batch.ok()) return std::move(batch).error();
    if (!*batch) break;
    found = extended(found, (*batch)->view.bytes());
    next_offset = (*batch)->view.next_offset();
  }
  const std::string log_path = path.substr(0, path.size() - suffix::kSwap.size());
  const std::string crc_path =
      log_path + std::string(suffix::kChecksum) + std::string(suffix::kSwap);
  const auto sums = read_checksum_file(crc_path);
  if (!sums.ok()) return bad_swap(path, sums.error().message);
  if (*sums && (*sums)->front() != found) {
    return bad_swap(path, "is not what compaction wrote, by " + crc_path);
  }
  return next_offset;
}

/// The offsets that the segments cover which are to be swapped in.
struct SwappedRange {
  int64_t first = INT64_MAX;
  int64_t end = INT64_MIN;
};

/// Nothing of a swap that is not decided counts. To be called while all is still there.
Result<SwappedRange> check_swaps(const std::string& directory, const std::vector<NamedFile>& files,
                                 int64_t first_cleaned) {
  SwappedRange range;
  for (const NamedFile& file : files) {
    if (!is_swap_of(file, suffix::kLog) || file.offset >= first_cleaned) continue;
    BARNABAS_ASSIGN(const int64_t next,
                    next_offset_of_swap(directory + "/" + file.name, file.offset));
    range.first = std::min(range.first, file.offset);
    range.end = std::max(range.end, next);
  }
  return range;
}

Status finish_swaps(const std::string& directory, const std::vector<NamedFile>& files,
                    const SwappedRange& range) {
  for (const NamedFile& file : files) {
    if (!file.suffix.ends_with(suffix::kSwap) && !is_set_aside(file.name) &&
        file.offset >= range.first && file.offset < range.end) {
      BARNABAS_TRY(remove_named(directory, file.name, "compacted into a segment swapped in"));
    }
  }
  for (const NamedFile& file : files) {
    if (!file.suffix.ends_with(suffix::kSwap)) continue;
    const std::string from = directory + "/" + file.name;
    if (is_swap_of(file, suffix::kLogChecksum)) continue;
    const std::string to = from.substr(0, from.size() - suffix::kSwap.size());
    log(LogLevel::kInfo, "storage", "finishing the swap of " + from);
    BARNABAS_TRY(rename_file(from, to));
  }
  // Last: until here another start may have to check once more.
  for (const NamedFile& file : files) {
    if (!is_swap_of(file, suffix::kLogChecksum)) continue;
    BARNABAS_TRY(remove_file(directory + "/" + file.name));
  }
  return {};
}

int64_t first_cleaned_of(const std::vector<NamedFile>& files) {
  int64_t first = INT64_MAX;
  for (const NamedFile& file : files) {
    if (file.suffix.ends_with(suffix::kCleaned)) first = std::min(first, file.offset);
  }
  return first;
}

Status remove_leftovers(const std::string& directory, const std::vector<NamedFile>& files,
                        int64_t first_cleaned) {
  for (const NamedFile& file : files) {
    if (file.suffix.ends_with(suffix::kDeleted)) {
      BARNABAS_TRY(remove_named(directory, file.name, "it was being deleted"));
    } else if (file.suffix.ends_with(suffix::kTemporary)) {
      BARNABAS_TRY(remove_named(directory, file.name, "it was being written"));
    }
  }
  // Swaps first: once the .cleaned files are gone, nothing tells a bad swap from a good one.
  for (const NamedFile& file : files) {
    if (file.suffix.ends_with(suffix::kSwap) && file.offset >= first_cleaned) {
      BARNABAS_TRY(remove_named(directory, file.name, "part of an unfinished split"));
    }
  }
  for (const NamedFile& file : files) {
    if (file.suffix.ends_with(suffix::kCleaned)) {
      BARNABAS_TRY(remove_named(directory, file.name, "an unfinished compaction"));
    }
  }
  return {};
}

bool has_suffix_to_tidy(const std::vector<NamedFile>& files) {
  for (const NamedFile& file : files) {
    if (file.suffix.ends_with(suffix::kDeleted) || file.suffix.ends_with(suffix::kTemporary) ||
        file.suffix.ends_with(suffix::kCleaned) || file.suffix.ends_with(suffix::kSwap)) {
      return true;
    }
  }
  return false;
}

LogFiles sort_out(const std::vector<NamedFile>& files) {
  LogFiles found;
  for (const NamedFile& file : files) {
    if (file.suffix == suffix::kLog) found.segments.insert(file.offset);
    if (file.suffix == suffix::kSnapshot) found.snapshots.insert(file.offset);
  }
  return found;
}

}  // namespace

Result<LogFiles> list_log_directory(const std::string& directory) {
  BARNABAS_ASSIGN(const std::vector<NamedFile> before, list_offset_files(directory));
  BARNABAS_ASSIGN(const std::vector<NamedFile> files, list_offset_files(directory));
  for (const std::vector<NamedFile>* listing : {&before, &files}) {
    for (const NamedFile& file : *listing) {
      if (!file.suffix.ends_with(suffix::kSwap)) continue;
      return Error{ErrorCode::kKafkaStorageError,
                   directory + "/" + file.name +
                       ": a compaction is not at its end; who opens the log to write ends one that "
                       "was interrupted",
                   EAGAIN};
    }
  }
  const LogFiles first = sort_out(before);
  LogFiles found = sort_out(files);
  if (!std::ranges::includes(found.segments, first.segments)) {
    return Error{ErrorCode::kKafkaStorageError, directory + ": segments go while they are listed",
                 EAGAIN};
  }
  const int64_t last = first.segments.empty() ? -1 : *first.segments.rbegin();
  found.segments.erase(found.segments.upper_bound(last), found.segments.end());
  return found;
}

Result<LogFiles> tidy_log_directory(const std::string& directory) {
  BARNABAS_ASSIGN(std::vector<NamedFile> files, list_offset_files(directory));
  if (has_suffix_to_tidy(files)) {
    const int64_t first_cleaned = first_cleaned_of(files);
    BARNABAS_ASSIGN(const SwappedRange range, check_swaps(directory, files, first_cleaned));
    BARNABAS_TRY(remove_leftovers(directory, files, first_cleaned));
    BARNABAS_ASSIGN(files, list_offset_files(directory));
    BARNABAS_TRY(finish_swaps(directory, files, range));
    BARNABAS_ASSIGN(files, list_offset_files(directory));
  }
  const LogFiles found = sort_out(files);
  for (const NamedFile& file : files) {
    const bool is_index =
        file.suffix == suffix::kOffsetIndex || file.suffix == suffix::kTimeIndex ||
        file.suffix == suffix::kTransactionIndex || file.suffix == suffix::kTransactionChecksum;
    if (is_index && !found.segments.contains(file.offset)) {
      BARNABAS_TRY(remove_named(directory, file.name, "an index without a log"));
    }
  }
  return found;
}

}  // namespace barnabas::storage
