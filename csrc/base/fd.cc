#include "base/fd.h"

#include <fcntl.h>
#include <unistd.h>

#include <filesystem>

#include "base/file_system.h"

namespace barnabas {

void UniqueFd::reset() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

Result<UniqueFd> open_file(const std::string& path, int flags, unsigned mode) {
  int fd = -1;
  do {
    fd = file_system().open(path.c_str(), flags | O_CLOEXEC, mode);
  } while (fd < 0 && errno == EINTR);
  if (fd < 0) return system_error(path);
  return UniqueFd(fd);
}

Status write_all_at(int fd, ByteView bytes, uint64_t offset, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t n =
        file_system().pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (n < 0) {
      if (errno == EINTR) continue;
      return system_error(path);
    }
    if (n == 0) return Error{ErrorCode::kKafkaStorageError, path + ": wrote nothing", ENOSPC};
    bytes = bytes.subspan(static_cast<size_t>(n));
    offset += static_cast<uint64_t>(n);
  }
  return {};
}

Result<size_t> read_at(int fd, MutableBytes out, uint64_t offset, const std::string& path) {
  size_t done = 0;
  while (done < out.size()) {
    const ssize_t n = file_system().pread(fd, out.data() + done, out.size() - done,
                                          static_cast<off_t>(offset + done));
    if (n < 0) {
      if (errno == EINTR) continue;
      Error failed = system_error(path);
      failed.message.insert(path.size(), " at byte " + std::to_string(offset + done));
      return failed;
    }
    if (n == 0) break;
    done += static_cast<size_t>(n);
  }
  return done;
}

std::string path_in(int directory, const std::string& name) {
  return "/proc/self/fd/" + std::to_string(directory) + "/" + name;
}

Status truncate_file(int fd, uint64_t size, const std::string& path) {
  if (file_system().ftruncate(fd, static_cast<off_t>(size)) != 0) return system_error(path);
  return {};
}

Status rename_file(const std::string& from, const std::string& to) {
  if (file_system().rename(from.c_str(), to.c_str()) != 0) return system_error(from);
  return {};
}

Status remove_file(const std::string& path) {
  if (file_system().unlink(path.c_str()) != 0 && errno != ENOENT) return system_error(path);
  return {};
}

Status remove_tree(const std::string& path) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(path, error)) {
    const bool is_directory = entry.is_directory(error) && !entry.is_symlink(error);
    BARNABAS_TRY(is_directory ? remove_tree(entry.path().string())
                              : remove_file(entry.path().string()));
  }
  if (error && error != std::errc::no_such_file_or_directory) {
    return Error{ErrorCode::kKafkaStorageError, path + ": " + error.message(), error.value()};
  }
  if (file_system().rmdir(path.c_str()) != 0 && errno != ENOENT) return system_error(path);
  return {};
}

Status sync_data(int fd, const std::string& path) {
  if (file_system().fdatasync(fd) != 0) return system_error(path);
  return {};
}

Status sync_file(int fd, const std::string& path) {
  if (file_system().fsync(fd) != 0) return system_error(path);
  return {};
}

Status sync_directory(const std::string& path) {
  BARNABAS_ASSIGN(UniqueFd fd, open_file(path, O_RDONLY | O_DIRECTORY));
  return sync_file(fd.get(), path);
}

Status sync_everything(const std::string& path) {
  BARNABAS_ASSIGN(const UniqueFd fd, open_file(path, O_RDONLY | O_DIRECTORY));
  if (file_system().syncfs(fd.get()) != 0) return system_error(path);
  return {};
}

}  // namespace barnabas
