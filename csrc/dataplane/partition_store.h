// The partitions of one data directory, on disk: opened, created, checkpointed, removed, closed.
//
// Ownership: owns the directory's lock and the descriptor cache; logs borrow the cache, so the
// store outlives them.
//
// Thread-safety: after open() safe from every thread. Everything here may wait for a disk.
#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/thread_annotations.h"
#include "base/uuid.h"
#include "dataplane/partition_table.h"
#include "storage/fd_cache.h"
#include "storage/log.h"
#include "storage/log_dir.h"

namespace barnabas::dataplane {

class PartitionStore {
 public:
  static Result<std::unique_ptr<PartitionStore>> open(const std::string& path,
                                                      const std::string& cluster_id,
                                                      int32_t node_id, Clock& clock);

  [[nodiscard]] const storage::LogDir& directory() const { return *directory_; }

  /// From here on the directory is not as the last stop left it. Finishes deletions, reads the
  /// checkpoints that open_log() starts from.
  Status begin() EXCLUDES(checkpoint_mutex_);
  /// Opens a log that may be there already, recovering it as the last stop demands.
  Result<std::unique_ptr<storage::Log>> open_log(const storage::TopicPartition& name,
                                                 const Uuid& topic_id,
                                                 const storage::LogConfig& config);
  /// Makes the logs of a topic that is new here; all or none. The names are durable at return.
  Result<std::vector<std::unique_ptr<storage::Log>>> create_logs(
      const std::string& topic, const Uuid& topic_id, const std::vector<int32_t>& partitions,
      const storage::LogConfig& config);

  /// Renames a partition directory to `…-stray`.
  Result<std::string> set_aside(const storage::TopicPartition& name);
  /// Removes the directory of a partition that is not open.
  Status remove(const storage::TopicPartition& name);
  /// Removes, once `delay_ms` have passed, the directory of a log that was marked deleted.
  void remove_later(const std::string& path, int64_t delay_ms) EXCLUDES(mutex_);
  /// Removes what is due.
  void remove_due() EXCLUDES(mutex_);

  /// Writes recovery points, log starts, high watermarks and where logs are compacted up to.
  Status write_checkpoints(const PartitionTable& table) EXCLUDES(checkpoint_mutex_);
  /// Before partitions are made that may have had namesakes: takes what checkpoints say of those
  /// out of the files, or a crash would cut the new logs to the old ones' offsets.
  Status forget(const std::string& topic, const std::vector<int32_t>& partitions,
                const PartitionTable& table) EXCLUDES(checkpoint_mutex_);
  /// Flushes and closes every log, `threads` at a time, and writes the checkpoints. The error is
  /// that of the first log that could not be closed.
  Status close_all(const PartitionTable& table, int threads);
  /// After close_all() succeeded: the next start need not look at the logs.
  Status mark_clean() { return directory_->mark_clean(); }
  /// Gives up the directory, clean or not: the last thing that is done with it.
  void release() { directory_->release_lock(); }

 private:
  PartitionStore(std::unique_ptr<storage::LogDir> directory, size_t max_open_files, Clock& clock);

  Status write_locked(const PartitionTable& table) REQUIRES(checkpoint_mutex_);
  [[nodiscard]] std::string path_of(const storage::TopicPartition& name) const;

  struct Removal {
    int64_t due_ms = 0;  // monotonic
    std::string path;
  };

  const std::unique_ptr<storage::LogDir> directory_;
  const std::shared_ptr<storage::DirectoryHealth> health_ =
      std::make_shared<storage::DirectoryHealth>();
  storage::FdCache fds_;
  Clock& clock_;

  Mutex checkpoint_mutex_;  // held while partitions are looked at and the files are written
  // What the files said at the start; of partitions that were not opened it stays.
  storage::OffsetCheckpoint recovery_points_;
  storage::OffsetCheckpoint log_start_offsets_;
  storage::OffsetCheckpoint high_watermarks_;
  storage::OffsetCheckpoint cleaned_offsets_;
  std::set<storage::TopicPartition> checkpointed_ GUARDED_BY(checkpoint_mutex_);
  // Directories that were there at the start and that nobody has opened: what the files say of them
  // stays, for whoever they belong to.
  std::set<storage::TopicPartition> left_alone_ GUARDED_BY(checkpoint_mutex_);

  Mutex mutex_;
  std::vector<Removal> removals_ GUARDED_BY(mutex_);
};

}  // namespace barnabas::dataplane
