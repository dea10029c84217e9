#include "storage/set_aside.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <vector>

#include "base/fd.h"
#include "storage/log_file_name.h"
#include "storage/segment_scanner.h"

namespace barnabas::storage {
namespace fs = std::filesystem;
namespace {

constexpr size_t kCopyBytes = 1 << 20;

Result<uint64_t> size_of(int fd, const std::string& path) {
  struct stat info {};
  if (::fstat(fd, &info) != 0) return system_error(path);
  return static_cast<uint64_t>(info.st_size);
}

std::string aside_path(const std::string& log_path, uint64_t position, int number) {
  return log_path + std::string(suffix::kCorrupt) + std::to_string(position) +
         (number == 1 ? "" : "-" + std::to_string(number));
}

int count_aside(const std::string& log_path, uint64_t position) {
  int count = 0;
  while (::access(aside_path(log_path, position, count + 1).c_str(), F_OK) == 0) ++count;
  return count;
}

/// Where nothing lies yet: what an earlier start has kept of the same place stays.
std::string free_aside_path(const std::string& log_path, uint64_t position) {
  return aside_path(log_path, position, count_aside(log_path, position) + 1);
}

std::string last_aside_path(const std::string& log_path, uint64_t position) {
  return aside_path(log_path, position, std::max(count_aside(log_path, position), 1));
}

/// Under another name until it is whole: a start that is killed meanwhile leaves no half of one.
Status copy_bytes(int fd, const std::string& path, uint64_t position, uint64_t bytes,
                  const std::string& to) {
  const std::string unfinished = to + std::string(suffix::kTemporary);
  BARNABAS_ASSIGN(const UniqueFd out, open_file(unfinished, O_WRONLY | O_CREAT | O_TRUNC));
  std::vector<uint8_t> buffer(std::min<uint64_t>(kCopyBytes, bytes));
  uint64_t done = 0;
  while (done < bytes) {
    const size_t wanted = static_cast<size_t>(std::min<uint64_t>(buffer.size(), bytes - done));
    BARNABAS_ASSIGN(const size_t got,
                    read_at(fd, MutableBytes(buffer).first(wanted), position + done, path));
    if (got == 0) break;
    BARNABAS_TRY(write_all_at(out.get(), ByteView(buffer).first(got), done, unfinished));
    done += got;
  }
  BARNABAS_TRY(sync_data(out.get(), unfinished));
  BARNABAS_TRY(rename_file(unfinished, to));
  return sync_directory(parent_of(to));
}

/// Whether a file has just what is at `position` of `fd`: a start that ended too soon has kept it.
Result<bool> has(const std::string& aside, int fd, const std::string& path, uint64_t position,
                 uint64_t bytes) {
  const auto kept = open_file(aside, O_RDONLY);
  if (!kept.ok()) return false;
  BARNABAS_ASSIGN(const uint64_t kept_bytes, size_of(kept->get(), aside));
  if (kept_bytes != bytes) return false;
  std::vector<uint8_t> ours(std::min<uint64_t>(kCopyBytes, bytes));
  std::vector<uint8_t> theirs(ours.size());
  for (uint64_t done = 0; done < bytes; done += ours.size()) {
    ours.resize(std::min<uint64_t>(ours.size(), bytes - done));
    theirs.resize(ours.size());
    BARNABAS_ASSIGN(const size_t got, read_at(fd, ours, position + done, path));
    BARNABAS_ASSIGN(const size_t others, read_at(kept->get(), theirs, done, aside));
    if (got != ours.size() || others != got || ours != theirs) return false;
  }
  return true;
}

}  // namespace

bool is_set_aside(std::string_view file_name) {
  return file_name.find(suffix::kCorrupt) != std::string_view::npos &&
         !file_name.ends_with(suffix::kTemporary);
}

Result<std::string> copy_aside(int fd, const std::string& path, uint64_t position, uint64_t bytes) {
  const std::string last = last_aside_path(path, position);
  BARNABAS_ASSIGN(const bool kept, has(last, fd, path, position, bytes));
  if (kept) return last;
  const std::string aside = free_aside_path(path, position);
  BARNABAS_TRY(copy_bytes(fd, path, position, bytes, aside));
  return aside;
}

Result<SetAside> set_aside_if_good(const std::string& log_path, int64_t base_offset) {
  uint64_t bytes = 0;
  {
    BARNABAS_ASSIGN(const UniqueFd fd, open_file(log_path, O_RDONLY));
    BARNABAS_ASSIGN(bytes, size_of(fd.get(), log_path));
    SegmentScanner scanner(fd.get(), log_path, bytes);
    BARNABAS_ASSIGN(const bool good, scanner.good_batch_after(0, base_offset));
    if (!good) return SetAside{};
  }
  SetAside aside{free_aside_path(log_path, 0), bytes};
  BARNABAS_TRY(rename_file(log_path, aside.path));
  return aside;
}

Status copy_what_is_aside(const std::string& from, const std::string& to) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(from, error)) {
    const std::string name = entry.path().filename().string();
    if (!is_set_aside(name)) continue;
    const std::string path = from + "/" + name;
    BARNABAS_ASSIGN(const UniqueFd fd, open_file(path, O_RDONLY));
    BARNABAS_ASSIGN(const uint64_t bytes, size_of(fd.get(), path));
    BARNABAS_TRY(copy_bytes(fd.get(), path, 0, bytes, to + "/" + name));
  }
  if (error) {
    return Error{ErrorCode::kKafkaStorageError, from + ": " + error.message(), error.value()};
  }
  return {};
}

}  // namespace barnabas::storage
