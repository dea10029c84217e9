// A file system that keeps a list of what it was asked to change under one directory: what
// power_cut.h makes disks of.
//
// Files and directories have numbers of their own, the root directory's is 0; a name is in a
// directory. What has no name from a call of this one (a file that was there before) is not known.
//
// Belongs to one thread, as does whatever it stands in for.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/file_system.h"

namespace barnabas::storage {

enum class DiskCallKind : uint8_t {
  kCreate,         // `name` in `directory` becomes `node`, an empty file
  kMakeDirectory,  // the same, an empty directory
  kWrite,          // `bytes` at `offset` of `node`
  kTruncate,       // `node` has `offset` bytes from now on
  kRename,         // `name` in `directory` becomes `new_name` there
  kUnlink,         // a file's name, or that of an empty directory
  kSync,           // of the file `node`
  kSyncNames,      // of the directory `node`
  kSyncAll,
};

struct DiskCall {
  DiskCallKind kind = DiskCallKind::kSyncAll;
  uint64_t node = 0;
  uint64_t directory = 0;
  std::string name;
  std::string new_name;
  uint64_t offset = 0;
  std::vector<uint8_t> bytes;

  [[nodiscard]] bool is_of_names() const {
    return kind == DiskCallKind::kCreate || kind == DiskCallKind::kMakeDirectory ||
           kind == DiskCallKind::kRename || kind == DiskCallKind::kUnlink;
  }
};

class RecordingFileSystem : public FileSystem {
 public:
  /// In force from here on, until it is destroyed.
  explicit RecordingFileSystem(std::string root);
  ~RecordingFileSystem() override { set_file_system(nullptr); }

  [[nodiscard]] const std::vector<DiskCall>& calls() const { return calls_; }

  int open(const char* path, int flags, unsigned mode) override;
  ssize_t pwrite(int fd, const void* bytes, size_t count, off_t offset) override;
  int ftruncate(int fd, off_t size) override;
  int fdatasync(int fd) override;
  int fsync(int fd) override;
  int syncfs(int fd) override;
  int rename(const char* from, const char* to) override;
  int unlink(const char* path) override;
  int mkdir(const char* path, unsigned mode) override;
  int rmdir(const char* path) override;

 private:
  using Name = std::pair<uint64_t, std::string>;  // in a directory

  /// Where a path leads, if that is under the root. Its last part need not exist.
  [[nodiscard]] std::optional<Name> resolve(std::string path) const;
  [[nodiscard]] std::optional<uint64_t> node_of(int fd) const;
  void add_name(DiskCallKind kind, const Name& name);
  void remove_name(const char* path);
  int synced(int fd, int result);

  const std::string root_;
  std::map<Name, uint64_t> names_;
  std::map<int, uint64_t> open_;  // what descriptors were opened on last
  uint64_t nodes_ = 1;
  std::map<uint64_t, bool> is_directory_{{0, true}};
  std::vector<DiskCall> calls_;
};

}  // namespace barnabas::storage
