// A Log without a broker: what `barnabas.Log(path)` opens.
//
// Owns the log, its descriptors and an exclusive lock: flock(2) on the directory itself, so that no
// foreign file appears in it. A log inside a data directory is refused while a broker holds that
// directory's .lock, and no broker starts there while it is open; a reader of one begins where the
// broker's checkpoint says. close() leaves an empty `.kafka_cleanshutdown` beside the segments;
// without it the next writer checks the log from its start.
//
// Thread-safety: open, close and the destructor belong to one thread; the Log is safe from all.
#pragma once

#include <memory>
#include <string>

#include "base/clock.h"
#include "base/fd.h"
#include "base/result.h"
#include "storage/fd_cache.h"
#include "storage/log.h"

namespace barnabas::storage {

class BareLog {
 public:
  /// Opens the directory `path`, which a writer creates when it is missing. `<topic>-<n>` names the
  /// partition; any other directory name is taken as topic with partition 0.
  static Result<std::unique_ptr<BareLog>> open(const std::string& path, const LogConfig& config,
                                               bool read_only, Clock& clock = system_clock());
  ~BareLog();
  BareLog(const BareLog&) = delete;
  BareLog& operator=(const BareLog&) = delete;

  [[nodiscard]] Log& log() { return *log_; }
  [[nodiscard]] const TopicPartition& name() const { return name_; }
  [[nodiscard]] bool read_only() const { return read_only_; }
  [[nodiscard]] bool closed() const { return closed_; }
  /// Flushes, closes and marks the clean stop. A second call does nothing.
  Status close();

 private:
  BareLog(TopicPartition name, std::string directory, bool read_only);

  const TopicPartition name_;
  const std::string directory_;
  const bool read_only_;
  UniqueFd lock_;
  UniqueFd data_dir_lock_;  // invalid outside of a data directory
  FdCache fds_;
  std::unique_ptr<Log> log_;
  bool closed_ = false;
};

}  // namespace barnabas::storage
