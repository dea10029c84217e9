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
#include "storage/log_file_name.h"
#include "storage/segment.h"

namespace barnabas::storage {
namespace fs = std::filesystem;
namespace {

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

/// The offset after the last batch of a complete segment file.
Result<int64_t> next_offset_of(const std::string& path, int64_t base_offset) {
  BARNABAS_ASSIGN(const UniqueFd fd, open_file(path, O_RDONLY));
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) return system_error(path);
  Segment segment(base_offset);
  BARNABAS_TRY(rebuild_from_headers(segment, fd.get(), path, static_cast<uint64_t>(info.st_size),
                                    INT32_MAX, {.base_offset = base_offset}));
  return segment.next_offset;
}

Status finish_swaps(const std::string& directory, const std::vector<NamedFile>& files) {
  int64_t first = INT64_MAX;  // the offsets that the swapped-in segments cover: [first, end)
  int64_t end = INT64_MIN;
  for (const NamedFile& file : files) {
    if (file.suffix != std::string(suffix::kLog) + std::string(suffix::kSwap)) continue;
    BARNABAS_ASSIGN(const int64_t next, next_offset_of(directory + "/" + file.name, file.offset));
    first = std::min(first, file.offset);
    end = std::max(end, next);
  }
  for (const NamedFile& file : files) {
    if (!file.suffix.ends_with(suffix::kSwap) && file.offset >= first && file.offset < end) {
      BARNABAS_TRY(remove_named(directory, file.name, "compacted into a segment swapped in"));
    }
  }
  for (const NamedFile& file : files) {
    if (!file.suffix.ends_with(suffix::kSwap)) continue;
    const std::string from = directory + "/" + file.name;
    const std::string to = from.substr(0, from.size() - suffix::kSwap.size());
    log(LogLevel::kInfo, "storage", "finishing the swap of " + from);
    BARNABAS_TRY(rename_file(from, to));
  }
  return {};
}

Status remove_leftovers(const std::string& directory) {
  BARNABAS_ASSIGN(const std::vector<NamedFile> files, list_offset_files(directory));
  int64_t first_cleaned = INT64_MAX;
  for (const NamedFile& file : files) {
    if (file.suffix.ends_with(suffix::kDeleted)) {
      BARNABAS_TRY(remove_named(directory, file.name, "it was being deleted"));
    } else if (file.suffix.ends_with(suffix::kTemporary)) {
      BARNABAS_TRY(remove_named(directory, file.name, "it was being written"));
    } else if (file.suffix.ends_with(suffix::kCleaned)) {
      first_cleaned = std::min(first_cleaned, file.offset);
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
    BARNABAS_TRY(remove_leftovers(directory));
    BARNABAS_ASSIGN(files, list_offset_files(directory));
    BARNABAS_TRY(finish_swaps(directory, files));
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
