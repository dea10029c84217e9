#include "base/faulty_file_system.h"

#include <fnmatch.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <climits>
#include <utility>

namespace barnabas {
namespace {

std::string path_of(int fd) {
  std::array<char, PATH_MAX> path;
  const std::string link = "/proc/self/fd/" + std::to_string(fd);
  const ssize_t length = ::readlink(link.c_str(), path.data(), path.size());
  return length < 0 ? std::string() : std::string(path.data(), static_cast<size_t>(length));
}

bool concerns(const Fault& fault, const std::string& path) {
  return std::any_of(fault.patterns.begin(), fault.patterns.end(), [&](const auto& pattern) {
    return ::fnmatch(pattern.c_str(), path.c_str(), 0) == 0;
  });
}

int fail_with(int64_t error) {
  errno = static_cast<int>(error);
  return -1;
}

[[noreturn]] void die() {
  ::kill(::getpid(), SIGKILL);
  for (;;) ::pause();
}

}  // namespace

FaultyFileSystem& FaultyFileSystem::instance() {
  static FaultyFileSystem faulty;
  return faulty;
}

uint64_t FaultyFileSystem::add(Fault fault) {
  MutexLock lock(mutex_);
  const uint64_t id = next_id_++;
  entries_.emplace(id, Entry{std::move(fault), {}});
  set_file_system(this);  // and stays in force: another thread may be inside it at any time
  return id;
}

void FaultyFileSystem::remove(uint64_t id) {
  MutexLock lock(mutex_);
  entries_.erase(id);
  removed_.notify_all();
}

void FaultyFileSystem::await_removal(uint64_t id) {
  MutexLock lock(mutex_);
  while (entries_.contains(id)) removed_.wait(mutex_);
}

void FaultyFileSystem::delay(const Strike& fault) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(fault.value);
  MutexLock lock(mutex_);
  while (entries_.contains(fault.id)) {
    const auto left = deadline - std::chrono::steady_clock::now();
    if (left <= left.zero()) return;
    removed_.wait_for(mutex_, left);
  }
}

FaultyFileSystem::Count FaultyFileSystem::count(uint64_t id) const {
  MutexLock lock(mutex_);
  const auto found = entries_.find(id);
  return found == entries_.end() ? Count{} : found->second.count;
}

std::optional<FaultyFileSystem::Strike> FaultyFileSystem::strike(FileCall call,
                                                                 const std::string& path) {
  MutexLock lock(mutex_);
  std::optional<Strike> struck;
  for (auto& [id, entry] : entries_) {
    const Fault& fault = entry.fault;
    if (fault.call != call || !concerns(fault, path)) continue;
    const uint64_t number = ++entry.count.matched;
    if (struck || number < fault.nth || number - fault.nth >= fault.times) continue;
    ++entry.count.struck;
    struck = Strike{fault.effect, fault.value, id};
  }
  return struck;
}

std::optional<FaultyFileSystem::Strike> FaultyFileSystem::strike(FileCall call, int fd) {
  {
    MutexLock lock(mutex_);
    if (entries_.empty()) return std::nullopt;  // the path costs a system call
  }
  return strike(call, path_of(fd));
}

template <class Call>
auto FaultyFileSystem::perform(const std::optional<Strike>& fault, const Call& call)
    -> decltype(call()) {
  if (!fault) return call();
  switch (fault->effect) {
    case FaultEffect::kFail:
      return fail_with(fault->value);
    case FaultEffect::kDelay:
      delay(*fault);
      return call();
    case FaultEffect::kHold:
      await_removal(fault->id);
      return call();
    case FaultEffect::kKillBefore:
      die();
    case FaultEffect::kKillAfter:
      (void)call();
      die();
    case FaultEffect::kShort:
    case FaultEffect::kTear:
      break;  // of bytes only
  }
  return call();
}

template <class Call>
ssize_t FaultyFileSystem::transfer(const std::optional<Strike>& fault, size_t count,
                                   const Call& call) {
  const bool partial =
      fault && (fault->effect == FaultEffect::kShort || fault->effect == FaultEffect::kTear);
  if (!partial) return perform(fault, [&] { return call(count); });
  const size_t part = std::min(count, static_cast<size_t>(fault->value));
  const ssize_t done = part == 0 ? 0 : call(part);
  return fault->effect == FaultEffect::kTear ? fail_with(EIO) : done;
}

int FaultyFileSystem::open(const char* path, int flags, unsigned mode) {
  return perform(strike(FileCall::kOpen, path),
                 [&] { return FileSystem::open(path, flags, mode); });
}

ssize_t FaultyFileSystem::pwrite(int fd, const void* bytes, size_t count, off_t offset) {
  return transfer(strike(FileCall::kWrite, fd), count,
                  [&](size_t part) { return FileSystem::pwrite(fd, bytes, part, offset); });
}

ssize_t FaultyFileSystem::pread(int fd, void* bytes, size_t count, off_t offset) {
  return transfer(strike(FileCall::kRead, fd), count,
                  [&](size_t part) { return FileSystem::pread(fd, bytes, part, offset); });
}

ssize_t FaultyFileSystem::sendfile(int socket, int fd, off_t* offset, size_t count) {
  return transfer(strike(FileCall::kSend, fd), count,
                  [&](size_t part) { return FileSystem::sendfile(socket, fd, offset, part); });
}

int FaultyFileSystem::ftruncate(int fd, off_t size) {
  return perform(strike(FileCall::kTruncate, fd), [&] { return FileSystem::ftruncate(fd, size); });
}

int FaultyFileSystem::fdatasync(int fd) {
  return perform(strike(FileCall::kSync, fd), [&] { return FileSystem::fdatasync(fd); });
}

int FaultyFileSystem::fsync(int fd) {
  return perform(strike(FileCall::kSync, fd), [&] { return FileSystem::fsync(fd); });
}

int FaultyFileSystem::syncfs(int fd) {
  return perform(strike(FileCall::kSync, fd), [&] { return FileSystem::syncfs(fd); });
}

int FaultyFileSystem::rename(const char* from, const char* to) {
  return perform(strike(FileCall::kRename, from), [&] { return FileSystem::rename(from, to); });
}

int FaultyFileSystem::unlink(const char* path) {
  return perform(strike(FileCall::kUnlink, path), [&] { return FileSystem::unlink(path); });
}

int FaultyFileSystem::link(const char* from, const char* to) {
  return perform(strike(FileCall::kLink, from), [&] { return FileSystem::link(from, to); });
}

ssize_t FaultyFileSystem::copy_file_range(int from, int to, off_t offset, size_t count) {
  return transfer(strike(FileCall::kCopy, to), count,
                  [&](size_t part) { return FileSystem::copy_file_range(from, to, offset, part); });
}

int FaultyFileSystem::mkdir(const char* path, unsigned mode) {
  return perform(strike(FileCall::kMakeDirectory, path),
                 [&] { return FileSystem::mkdir(path, mode); });
}

int FaultyFileSystem::rmdir(const char* path) {
  return perform(strike(FileCall::kUnlink, path), [&] { return FileSystem::rmdir(path); });
}

}  // namespace barnabas
