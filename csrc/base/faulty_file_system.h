// A file system that goes wrong where it is told to: it stands in for the system's own in tests.
//
// A fault names a call and the files it concerns; it strikes the nth such call and, if it is to,
// those after it. Of several that match a call the one that was added first strikes.
//
// Thread-safety: every method may be called from any thread.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/file_system.h"
#include "base/result.h"
#include "base/thread_annotations.h"

namespace barnabas {

enum class FileCall : uint8_t {
  kOpen,
  kWrite,
  kRead,
  kSend,
  kTruncate,
  kSync,  // fdatasync, fsync and syncfs
  kRename,
  kUnlink,  // and rmdir
  kMakeDirectory,
  kLink,  // a second name: of the file that has one
  kCopy,  // copy_file_range: of the file copied to
};

enum class FaultEffect : uint8_t {
  kFail,        // nothing is done; errno is `value`
  kShort,       // a write or read of `value` bytes, if more were asked for, and they are done
  kTear,        // the first `value` bytes are written, then it fails with EIO
  kDelay,       // after `value` milliseconds it is done, or once the fault is removed
  kHold,        // once the fault is removed it is done
  kKillBefore,  // the process gets SIGKILL, before the call or once it is done
  kKillAfter,
};

struct Fault {
  FileCall call = FileCall::kWrite;
  /// Files of which one of these matches the whole path, as for a shell, where * matches slashes,
  /// too. A rename is of its source.
  std::vector<std::string> patterns;
  FaultEffect effect = FaultEffect::kFail;
  int64_t value = 0;
  uint64_t nth = 1;                                       // the first call that is struck, from 1
  uint64_t times = std::numeric_limits<uint64_t>::max();  // how many are, from that one on
};

class FaultyFileSystem : public FileSystem {
 public:
  /// The process's; in force from the first fault that is added on.
  static FaultyFileSystem& instance();

  /// Returns a number for the other calls.
  uint64_t add(Fault fault);
  void remove(uint64_t id);
  /// How many calls matched, and how many of them were struck. Zeroes for an unknown one.
  struct Count {
    uint64_t matched = 0;
    uint64_t struck = 0;
  };
  [[nodiscard]] Count count(uint64_t id) const;

  int open(const char* path, int flags, unsigned mode) override;
  ssize_t pwrite(int fd, const void* bytes, size_t count, off_t offset) override;
  ssize_t pread(int fd, void* bytes, size_t count, off_t offset) override;
  ssize_t sendfile(int socket, int fd, off_t* offset, size_t count) override;
  int ftruncate(int fd, off_t size) override;
  int fdatasync(int fd) override;
  int fsync(int fd) override;
  int syncfs(int fd) override;
  int rename(const char* from, const char* to) override;
  int unlink(const char* path) override;
  int link(const char* from, const char* to) override;
  ssize_t copy_file_range(int from, int to, off_t offset, size_t count) override;
  int mkdir(const char* path, unsigned mode) override;
  int rmdir(const char* path) override;

 private:
  struct Entry {
    Fault fault;
    Count count;
  };
  /// What strikes a call.
  struct Strike {
    FaultEffect effect;
    int64_t value;
    uint64_t id;
  };
  std::optional<Strike> strike(FileCall call, const std::string& path);
  std::optional<Strike> strike(FileCall call, int fd);
  void await_removal(uint64_t id);
  /// For as long as the fault says, or until it is removed.
  void delay(const Strike& fault);
  /// Runs a call of which nothing can be done in part.
  template <class Call>
  auto perform(const std::optional<Strike>& fault, const Call& call) -> decltype(call());
  /// Runs one that takes or gives a number of bytes.
  template <class Call>
  ssize_t transfer(const std::optional<Strike>& fault, size_t count, const Call& call);

  mutable Mutex mutex_;
  ConditionVariable removed_;
  std::map<uint64_t, Entry> entries_ GUARDED_BY(mutex_);
  uint64_t next_id_ GUARDED_BY(mutex_) = 1;
};

}  // namespace barnabas
