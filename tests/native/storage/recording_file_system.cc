#include "recording_file_system.h"

#include <fcntl.h>

#include <cassert>
#include <cstdlib>

namespace barnabas::storage {

RecordingFileSystem::RecordingFileSystem(std::string root) : root_(std::move(root)) {
  set_file_system(this);
}

std::optional<RecordingFileSystem::Name> RecordingFileSystem::resolve(std::string path) const {
  constexpr std::string_view kDescriptors = "/proc/self/fd/";
  uint64_t directory = 0;
  if (path.starts_with(kDescriptors)) {
    char* rest = nullptr;
    const auto node =
        node_of(static_cast<int>(std::strtol(path.c_str() + kDescriptors.size(), &rest, 10)));
    if (!node) return std::nullopt;
    directory = *node;
    path = rest;
  } else if (path.starts_with(root_ + "/")) {
    path = path.substr(root_.size());
  } else if (path == root_) {
    return Name{0, ""};
  } else {
    return std::nullopt;
  }
  size_t begin = 1;  // behind a slash
  for (size_t end = path.find('/', begin); end != std::string::npos; end = path.find('/', begin)) {
    const auto found = names_.find({directory, path.substr(begin, end - begin)});
    if (found == names_.end()) return std::nullopt;
    directory = found->second;
    begin = end + 1;
  }
  return Name{directory, path.substr(begin)};
}

std::optional<uint64_t> RecordingFileSystem::node_of(int fd) const {
  const auto found = open_.find(fd);
  return found == open_.end() ? std::nullopt : std::optional(found->second);
}

void RecordingFileSystem::add_name(DiskCallKind kind, const Name& name) {
  const uint64_t node = nodes_++;
  names_[name] = node;
  is_directory_[node] = kind == DiskCallKind::kMakeDirectory;
  calls_.push_back({.kind = kind, .node = node, .directory = name.first, .name = name.second});
}

int RecordingFileSystem::open(const char* path, int flags, unsigned mode) {
  const int fd = FileSystem::open(path, flags, mode);
  if (fd < 0) return fd;
  open_.erase(fd);
  const auto name = resolve(path);
  if (!name) return fd;
  if (name->second.empty()) {
    open_[fd] = 0;
    return fd;
  }
  const auto found = names_.find(*name);
  if (found == names_.end()) {
    if ((flags & O_CREAT) == 0) return fd;  // from before us
    add_name(DiskCallKind::kCreate, *name);
  } else if ((flags & O_TRUNC) != 0) {
    calls_.push_back({.kind = DiskCallKind::kTruncate, .node = found->second});
  }
  open_[fd] = names_.at(*name);
  return fd;
}

ssize_t RecordingFileSystem::pwrite(int fd, const void* bytes, size_t count, off_t offset) {
  const ssize_t done = FileSystem::pwrite(fd, bytes, count, offset);
  const auto node = node_of(fd);
  if (done > 0 && node) {
    const auto* first = static_cast<const uint8_t*>(bytes);
    calls_.push_back({.kind = DiskCallKind::kWrite,
                      .node = *node,
                      .offset = static_cast<uint64_t>(offset),
                      .bytes = {first, first + done}});
  }
  return done;
}

int RecordingFileSystem::ftruncate(int fd, off_t size) {
  const int result = FileSystem::ftruncate(fd, size);
  const auto node = node_of(fd);
  if (result == 0 && node) {
    calls_.push_back(
        {.kind = DiskCallKind::kTruncate, .node = *node, .offset = static_cast<uint64_t>(size)});
  }
  return result;
}

int RecordingFileSystem::synced(int fd, int result) {
  const auto node = node_of(fd);
  if (result == 0 && node) {
    const bool names = is_directory_.at(*node);
    calls_.push_back(
        {.kind = names ? DiskCallKind::kSyncNames : DiskCallKind::kSync, .node = *node});
  }
  return result;
}

int RecordingFileSystem::fdatasync(int fd) { return synced(fd, FileSystem::fdatasync(fd)); }
int RecordingFileSystem::fsync(int fd) { return synced(fd, FileSystem::fsync(fd)); }

int RecordingFileSystem::syncfs(int) {
  calls_.push_back({.kind = DiskCallKind::kSyncAll});
  return 0;  // others use this disk, too
}

int RecordingFileSystem::rename(const char* from, const char* to) {
  const int result = FileSystem::rename(from, to);
  const auto old_name = resolve(from);
  const auto new_name = resolve(to);
  if (result != 0 || !old_name || !new_name || !names_.contains(*old_name)) return result;
  assert(old_name->first == new_name->first);  // nothing of ours leaves its directory
  const uint64_t node = names_.at(*old_name);
  names_.erase(*old_name);
  names_[*new_name] = node;
  calls_.push_back({.kind = DiskCallKind::kRename,
                    .node = node,
                    .directory = old_name->first,
                    .name = old_name->second,
                    .new_name = new_name->second});
  return result;
}

void RecordingFileSystem::remove_name(const char* path) {
  const auto name = resolve(path);
  if (!name || names_.erase(*name) == 0) return;
  calls_.push_back({.kind = DiskCallKind::kUnlink, .directory = name->first, .name = name->second});
}

int RecordingFileSystem::unlink(const char* path) {
  const int result = FileSystem::unlink(path);
  if (result == 0) remove_name(path);
  return result;
}

int RecordingFileSystem::mkdir(const char* path, unsigned mode) {
  const int result = FileSystem::mkdir(path, mode);
  const auto name = resolve(path);
  if (result == 0 && name) add_name(DiskCallKind::kMakeDirectory, *name);
  return result;
}

int RecordingFileSystem::rmdir(const char* path) {
  const int result = FileSystem::rmdir(path);
  if (result == 0) remove_name(path);
  return result;
}

}  // namespace barnabas::storage
