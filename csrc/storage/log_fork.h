// The fork of a log: another directory with the same content, made in little time.
//
// Closed segments, their indexes and snapshots get a second name (a hard link; a copy on another
// file system), for nobody writes to them again: what changes a closed segment puts a new file in
// its place, and a segment that is written to again is copied first. Of the active segment, the end
// of its indexes and the producers a copy is made, as a clean stop would leave them. The log itself
// does not change, but that it may have left its active segment.
//
// From Log::begin_fork() until the fork is destroyed, flushes of the log wait, and so does whatever
// takes files from it; appends wait from stop_appends() to resume_appends() alone. With the appends
// of several logs stopped, their cuts are of one moment.
//
// Thread-safety: one thread makes, uses and destroys it (the log's locks are its); but write() may
// be called from another. The log outlives it. Nobody who holds another of the log's locks waits
// for a fork.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"

namespace barnabas::storage {

/// Where a forked log begins and ends, and up to where it is compacted.
struct ForkedOffsets {
  int64_t log_start_offset = 0;
  int64_t log_end_offset = 0;
  int64_t cleaned_offset = 0;
};

class LogFork {
 public:
  virtual ~LogFork() = default;

  virtual void stop_appends() = 0;
  /// What the log is now will be in the fork. Reads and writes no file.
  /// kKafkaStorageError: it is offline, or damaged. REQUIRES: stop_appends()
  virtual Status cut() = 0;
  virtual void resume_appends() = 0;
  /// Makes the fork's directory. Nothing is fsynced. REQUIRES: cut() was well
  virtual Status write(const std::string& directory) const = 0;

  /// The log's own directory, which stays that as long as this lives.
  [[nodiscard]] virtual const std::string& directory() const = 0;
  /// REQUIRES: cut()
  [[nodiscard]] virtual const ForkedOffsets& offsets() const = 0;
};

}  // namespace barnabas::storage
