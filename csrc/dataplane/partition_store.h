// The partitions of one log directory, on disk: opened, created, checkpointed, removed, closed.
//
// Ownership: owns the directory's lock; borrows the descriptor cache, as its logs do.
//
// Thread-safety: after open() safe from every thread. Everything here may wait for a disk.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/fd.h"
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
  /// `number`: what its partitions say that they lie in.
  static Result<std::unique_ptr<PartitionStore>> open(
      const std::string& path, size_t number, const storage::LogDirIdentity& identity_if_new,
      storage::FdCache& fds, Clock& clock);

  [[nodiscard]] const storage::LogDir& directory() const { return *directory_; }
  [[nodiscard]] const std::string& path() const { return directory_->path(); }
  [[nodiscard]] std::string path_of(const storage::TopicPartition& name) const {
    return path() + "/" + name.to_string();
  }
  [[nodiscard]] size_t number() const { return number_; }
  /// Whether nothing under it can be trusted any more.
  [[nodiscard]] bool failed() const { return health_->failed(); }
  /// Takes it offline, and so every log in it.
  void fail() { health_->fail(); }

  /// From here on the directory is not as the last stop left it. Finishes deletions, reads the
  /// checkpoints that open_log() starts from.
  Status begin() EXCLUDES(checkpoint_mutex_);
  /// Opens a log that may be there already, recovering it as the last stop demands.
  Result<std::unique_ptr<storage::Log>> open_log(const storage::TopicPartition& name,
                                                 const Uuid& topic_id,
                                                 const storage::LogConfig& config);
  /// Makes a log that is new here. Its name is durable after sync_names(). After an error has(name)
  /// says whether something of it is there.
  Result<std::unique_ptr<storage::Log>> create_log(const storage::TopicPartition& name,
                                                   const Uuid& topic_id,
                                                   const storage::LogConfig& config);
  Status sync_names() { return sync_directory(path()); }

  // -- copies that are to take a partition's place ------------------------------------------------
  /// Makes an empty one that begins at `start_offset`.
  Result<std::unique_ptr<storage::Log>> create_copy(const storage::TopicPartition& name,
                                                    const Uuid& topic_id, int64_t start_offset,
                                                    const storage::LogConfig& config);
  /// Opens the one at `path`, of a log that is compacted up to `cleaned_offset`.
  Result<std::unique_ptr<storage::Log>> open_copy(const storage::TopicPartition& name,
                                                  const std::string& path, const Uuid& topic_id,
                                                  int64_t cleaned_offset,
                                                  const storage::LogConfig& config);
  /// A copy of this partition gets its name here next: from now on the checkpoints have it, and at
  /// return they are written.
  Status expect(const Partition& partition, const PartitionTable& table)
      EXCLUDES(checkpoint_mutex_);
  /// It has come, or will not.
  void end_expecting(const Partition& partition) EXCLUDES(checkpoint_mutex_);
  /// Whether the last stop came between expect() and the copy's getting its name: it is whole.
  /// REQUIRES: begin().
  [[nodiscard]] bool was_expecting(const storage::TopicPartition& name) const {
    return recovery_points_.contains(name);
  }
  /// Gives a copy that is whole its partition's name.
  Status promote(const storage::TopicPartition& name, const std::string& copy_path);

  /// Whether it has a directory of this partition.
  [[nodiscard]] bool has(const storage::TopicPartition& name) const;
  /// Renames a partition directory to `…-stray`.
  Result<std::string> set_aside(const storage::TopicPartition& name);
  /// Removes a directory of this partition, its own or a copy's, that is not open.
  Status remove_directory(const storage::TopicPartition& name, const std::string& path);
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
  /// Once every log in it is closed, and the checkpoints are written: the next start need not look
  /// at the logs.
  Status mark_clean(const PartitionTable& table) EXCLUDES(checkpoint_mutex_);
  /// Gives up the directory, clean or not: the last thing that is done with it.
  void release() { directory_->release_lock(); }

 private:
  PartitionStore(std::unique_ptr<storage::LogDir> directory, size_t number, storage::FdCache& fds,
                 Clock& clock)
      : directory_(std::move(directory)), number_(number), fds_(fds), clock_(clock) {}

  Status write_locked(const PartitionTable& table) REQUIRES(checkpoint_mutex_);
  Status write_last_aborts(const PartitionTable& table) REQUIRES(checkpoint_mutex_);
  /// What came of writing one of the directory's own files: after an fsync that failed it is
  /// offline, as after one of a log's.
  Status offline_unless(Status written);

  struct Removal {
    int64_t due_ms = 0;  // monotonic
    std::string path;
  };

  const std::unique_ptr<storage::LogDir> directory_;
  const size_t number_;
  const std::shared_ptr<storage::DirectoryHealth> health_ =
      std::make_shared<storage::DirectoryHealth>();
  storage::FdCache& fds_;
  Clock& clock_;

  Mutex checkpoint_mutex_;  // held while partitions are looked at and the files are written
  // What the files said at the start; of partitions that were not opened it stays.
  storage::OffsetCheckpoint recovery_points_;
  storage::OffsetCheckpoint log_start_offsets_;
  storage::OffsetCheckpoint high_watermarks_;
  storage::OffsetCheckpoint cleaned_offsets_;
  storage::OffsetLists last_aborts_;
  std::set<storage::TopicPartition> checkpointed_ GUARDED_BY(checkpoint_mutex_);
  // Directories that were there at the start and that nobody has opened: what the files say of them
  // stays, for whoever they belong to.
  std::set<storage::TopicPartition> left_alone_ GUARDED_BY(checkpoint_mutex_);
  // Of which a copy is to take the place of, and how far that is durable.
  std::map<const Partition*, int64_t> expected_ GUARDED_BY(checkpoint_mutex_);

  Mutex mutex_;
  std::vector<Removal> removals_ GUARDED_BY(mutex_);
};

}  // namespace barnabas::dataplane
