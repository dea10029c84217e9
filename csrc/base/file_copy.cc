#include "base/file_copy.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <vector>

#include "base/fd.h"
#include "base/file_system.h"

namespace barnabas {
namespace {

/// By way of this process, as between file systems of two kinds.
Status carry_bytes(int from, int to, uint64_t position, uint64_t end, const std::string& path) {
  constexpr uint64_t kChunkBytes = 1 << 20;
  std::vector<uint8_t> chunk(std::min(kChunkBytes, end - position));
  while (position < end) {
    const MutableBytes wanted = MutableBytes(chunk).first(std::min(kChunkBytes, end - position));
    BARNABAS_ASSIGN(const size_t got, read_at(from, wanted, position, path));
    if (got == 0) {
      return Error{ErrorCode::kKafkaStorageError,
                   path + ": ends before byte " + std::to_string(end), 0};
    }
    BARNABAS_TRY(write_all_at(to, wanted.first(got), position, path));
    position += got;
  }
  return {};
}

Status copy_bytes(int from, int to, uint64_t bytes, const std::string& path) {
  uint64_t done = 0;
  while (done < bytes) {
    const ssize_t copied = file_system().copy_file_range(from, to, static_cast<off_t>(done),
                                                         static_cast<size_t>(bytes - done));
    if (copied < 0 && errno == EINTR) continue;
    if (copied < 0 && (errno == ENOSPC || errno == EDQUOT || errno == EIO || errno == EFBIG)) {
      return system_error(path);
    }
    if (copied <= 0) return carry_bytes(from, to, done, bytes, path);
    done += static_cast<uint64_t>(copied);
  }
  return {};
}

}  // namespace

bool on_one_file_system(const std::string& directory, const std::string& other) {
  struct stat first {};
  struct stat second {};
  return ::stat(directory.c_str(), &first) == 0 && ::stat(other.c_str(), &second) == 0 &&
         first.st_dev == second.st_dev;
}

Status link_or_copy_file(const std::string& from, const std::string& to) {
  if (file_system().link(from.c_str(), to.c_str()) == 0) return {};
  if (errno != EXDEV && errno != EMLINK && errno != EPERM && errno != EOPNOTSUPP) {
    return system_error(from);
  }
  struct stat info {};
  if (::stat(from.c_str(), &info) != 0) return system_error(from);
  return copy_file(from, to, static_cast<uint64_t>(info.st_size));
}

Status copy_file(const std::string& from, const std::string& to, uint64_t bytes) {
  BARNABAS_ASSIGN(const UniqueFd source, open_file(from, O_RDONLY));
  BARNABAS_ASSIGN(const UniqueFd target, open_file(to, O_RDWR | O_CREAT | O_TRUNC));
  BARNABAS_TRY(copy_bytes(source.get(), target.get(), bytes, to));
  struct stat info {};
  if (::fstat(source.get(), &info) != 0) return system_error(from);
  const timespec times[] = {info.st_atim, info.st_mtim};
  if (::futimens(target.get(), times) != 0) return system_error(to);
  return {};
}

Result<bool> has_other_name(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) == 0) return info.st_nlink > 1;
  if (errno == ENOENT) return false;
  return system_error(path);
}

Result<bool> leave_other_names(const std::string& path) {
  BARNABAS_ASSIGN(const bool shared, has_other_name(path));
  if (!shared) return false;
  const std::string copy = path + ".tmp";
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return system_error(path);
  BARNABAS_TRY(copy_file(path, copy, static_cast<uint64_t>(info.st_size)));
  // Before it takes the name, or a power cut could leave less than there was.
  BARNABAS_ASSIGN(const UniqueFd fd, open_file(copy, O_RDONLY));
  BARNABAS_TRY(sync_file(fd.get(), copy));
  BARNABAS_TRY(rename_file(copy, path));
  return true;
}

}  // namespace barnabas
