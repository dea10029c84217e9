// Keeps the number of open segment files below a limit: descriptors of idle segments are closed and
// opened again when they are needed, so that 10,000 partitions fit RLIMIT_NOFILE.
//
// Thread-safety: safe from every thread.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "base/fd.h"
#include "base/result.h"

namespace barnabas::storage {

class FdCache {
 public:
  explicit FdCache(size_t max_open);
  ~FdCache();
  FdCache(const FdCache&) = delete;
  FdCache& operator=(const FdCache&) = delete;

  /// The file at `path`, open for reading and writing (reading alone where no more is allowed). The
  /// descriptor stays open as long as the caller holds it, also after eviction.
  Result<SharedFd> open(const std::string& path);
  /// Forgets `path` (before a rename or unlink).
  void forget(const std::string& path);
  /// Forgets all, and keeps none any more.
  void close();
  [[nodiscard]] size_t open_count() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace barnabas::storage
