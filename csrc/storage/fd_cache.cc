#include "storage/fd_cache.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cassert>
#include <list>
#include <unordered_map>

#include "base/thread_annotations.h"

namespace barnabas::storage {

struct FdCache::State {
  struct Entry {
    std::string path;
    SharedFd file;
  };

  explicit State(size_t limit) : max_open(limit) {}

  const size_t max_open;
  Mutex mutex;
  std::list<Entry> by_use GUARDED_BY(mutex);  // most recently used first
  std::unordered_map<std::string_view, std::list<Entry>::iterator> by_path GUARDED_BY(mutex);
  bool closed GUARDED_BY(mutex) = false;
};

FdCache::FdCache(size_t max_open) : state_(std::make_unique<State>(max_open)) {
  assert(max_open > 0);
}
FdCache::~FdCache() = default;

Result<SharedFd> FdCache::open(const std::string& path) {
  State& state = *state_;
  {
    MutexLock lock(state.mutex);
    const auto found = state.by_path.find(path);
    if (found != state.by_path.end()) {
      state.by_use.splice(state.by_use.begin(), state.by_use, found->second);
      return found->second->file;
    }
  }
  // Opened outside the lock: a slow disk must not stop the other partitions.
  auto fd = open_file(path, O_RDWR);
  if (!fd.ok() && (fd.error().sys_errno == EACCES || fd.error().sys_errno == EROFS)) {
    fd = open_file(path, O_RDONLY);
  }
  if (!fd.ok()) return std::move(fd).error();
  auto file = std::make_shared<const UniqueFd>(std::move(fd).value());
  struct stat opened {};
  if (::fstat(file->get(), &opened) != 0) return system_error(path);
  SharedFd evicted;  // closed after the lock is released
  {
    MutexLock lock(state.mutex);
    if (state.closed) return SharedFd(std::move(file));
    const auto found = state.by_path.find(path);
    if (found != state.by_path.end()) return found->second->file;  // another thread was first
    // Renamed away since we opened it (and perhaps made anew): good for this caller, who asked
    // before, but not for the next.
    struct stat named {};
    if (::stat(path.c_str(), &named) != 0 || named.st_ino != opened.st_ino ||
        named.st_dev != opened.st_dev) {
      return SharedFd(std::move(file));
    }
    if (state.by_use.size() >= state.max_open) {
      auto& last = state.by_use.back();
      evicted = std::move(last.file);
      state.by_path.erase(last.path);
      state.by_use.pop_back();
    }
    state.by_use.push_front({path, file});
    state.by_path.emplace(state.by_use.front().path, state.by_use.begin());
  }
  return SharedFd(std::move(file));
}

void FdCache::forget(const std::string& path) {
  SharedFd forgotten;
  MutexLock lock(state_->mutex);
  const auto found = state_->by_path.find(path);
  if (found == state_->by_path.end()) return;
  const auto entry = found->second;
  forgotten = std::move(entry->file);
  state_->by_path.erase(found);
  state_->by_use.erase(entry);
}

void FdCache::close() {
  std::list<State::Entry> forgotten;  // closed after the lock is released
  MutexLock lock(state_->mutex);
  state_->closed = true;
  state_->by_path.clear();
  forgotten.swap(state_->by_use);
}

size_t FdCache::open_count() const {
  MutexLock lock(state_->mutex);
  return state_->by_use.size();
}

}  // namespace barnabas::storage
