// File descriptors as values: UniqueFd owns one, SharedFd lets several readers (a fetch response
// half sent, a segment being deleted) keep one open.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "base/bytes.h"
#include "base/result.h"

namespace barnabas {

class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  ~UniqueFd() { reset(); }
  UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    if (this != &other) {
      reset();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  UniqueFd(const UniqueFd&) = delete;
  UniqueFd& operator=(const UniqueFd&) = delete;

  [[nodiscard]] int get() const { return fd_; }
  [[nodiscard]] bool valid() const { return fd_ >= 0; }
  [[nodiscard]] int release() { return std::exchange(fd_, -1); }
  void reset();

 private:
  int fd_ = -1;
};

using SharedFd = std::shared_ptr<const UniqueFd>;

/// A range of an open file, to be sent with sendfile. Keeps the file open while it exists.
struct FileSlice {
  SharedFd file;
  uint64_t position = 0;  // bytes from the start of the file
  uint64_t length = 0;    // bytes
};

/// open(2) with O_CLOEXEC; retries EINTR. Errors carry the path.
Result<UniqueFd> open_file(const std::string& path, int flags, unsigned mode = 0644);

/// Writes all of `bytes` at `offset`. A short write is followed up; what remains unwritten after
/// an error is the caller's to truncate.
Status write_all_at(int fd, ByteView bytes, uint64_t offset, const std::string& path);

/// Reads until `out` is full or the file ends; returns the bytes read.
Result<size_t> read_at(int fd, MutableBytes out, uint64_t offset, const std::string& path);

/// A path of a file in an open directory, whatever the directory is called by now.
std::string path_in(int directory, const std::string& name);

/// ftruncate(2), to shorten or to lengthen.
Status truncate_file(int fd, uint64_t size, const std::string& path);
/// rename(2), over what has that name. Errors carry `from`.
Status rename_file(const std::string& from, const std::string& to);
/// unlink(2); one that is not there is no error.
Status remove_file(const std::string& path);
/// Removes a directory and all that is in it; one that is not there is no error.
Status remove_tree(const std::string& path);

/// fdatasync(2) / fsync(2). Never retried: after a failure the page may already be marked clean.
Status sync_data(int fd, const std::string& path);
Status sync_file(int fd, const std::string& path);
/// fsyncs a directory, which makes the names in it durable.
Status sync_directory(const std::string& path);
/// syncfs(2) of what a directory lies on.
Status sync_everything(const std::string& path);

}  // namespace barnabas
