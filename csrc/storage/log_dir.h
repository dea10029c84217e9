// One data directory: its lock, identity, clean-shutdown marker and offset checkpoints.
//
// Files (Kafka's own): .lock, meta.properties (version=1, cluster.id, node.id, directory.id),
// .kafka_cleanshutdown, recovery-point-offset-checkpoint, log-start-offset-checkpoint,
// replication-offset-checkpoint, cleaner-offset-checkpoint; and one of our own in the same format,
// transaction-index-checkpoint, with a line for each segment that has a transaction index. Every
// rewrite goes through a temporary file, fsync and rename.
//
// A wrong digit in a recovery point, a log start or a cleaned offset looks like any other, and
// costs records or brings deleted ones back: beside these three there are files with their
// checksums (checksum_file.h), of the old content and the new one while they change. Kafka writes
// the three without: see adopt/.
//
// Thread-safety: safe from every thread after open().
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "storage/checkpoint_file.h"
#include "storage/topic_partition.h"

namespace barnabas::storage {

using OffsetCheckpoint = std::map<TopicPartition, int64_t>;
using OffsetLists = std::map<TopicPartition, std::vector<int64_t>>;

/// Of a data directory: where the partitions' logs start.
inline constexpr std::string_view kLogStartCheckpointName = "log-start-offset-checkpoint";
inline constexpr std::string_view kCleanedCheckpointName = "cleaner-offset-checkpoint";

/// Reads and writes Kafka's offset checkpoint format (version 0: version, count, `topic partition
/// offset` lines). A missing file is empty; a damaged one is an error that names the line.
Result<OffsetCheckpoint> read_offset_checkpoint(const std::string& path);
Status write_offset_checkpoint(const std::string& path, const OffsetCheckpoint& offsets,
                               Durability durability = Durability::kNow);

/// The log starts that the checkpoint of a data directory has, for who does not own the directory:
/// its broker may be changing them. kCorruptMessage when their checksums say that something else
/// was written there.
Result<OffsetCheckpoint> read_log_start_offsets(const std::string& data_dir);

struct LogDirIdentity {
  std::string cluster_id;
  int32_t node_id = 0;
  std::string directory_id;
};

/// What the checkpoints of a directory say.
struct LogDirOffsets {
  OffsetCheckpoint recovery_points;
  OffsetCheckpoint log_start_offsets;
  OffsetCheckpoint high_watermarks;
  OffsetCheckpoint cleaned_offsets;  // up to where logs are compacted
};

class LogDir {
 public:
  /// Creates `path` when missing, locks it, reads or writes meta.properties. Errors say in one line
  /// what is wrong: not writable, in use by another process, another node's or cluster's, or a
  /// directory that is not empty and not ours.
  static Result<std::unique_ptr<LogDir>> open(const std::string& path,
                                              const LogDirIdentity& identity_if_new);
  /// Whether there is no meta.properties at `path`: opening it makes a directory of ours there.
  static bool is_new(const std::string& path);
  /// What the meta.properties of `path` say; nullopt when there are none, or they cannot be read.
  static std::optional<LogDirIdentity> identity_of(const std::string& path);
  /// Makes `path`, in which the logs are already, a directory that was stopped cleanly. With kNow
  /// all that is in it is durable at return.
  static Status complete(const std::string& path, const LogDirIdentity& identity,
                         const LogDirOffsets& offsets, Durability durability);
  ~LogDir();
  LogDir(const LogDir&) = delete;
  LogDir& operator=(const LogDir&) = delete;

  [[nodiscard]] const std::string& path() const;
  [[nodiscard]] const LogDirIdentity& identity() const;
  /// Whether the last run stopped cleanly.
  [[nodiscard]] bool was_clean() const;

  /// These two: kCorruptMessage when their checksums say that something else was written there.
  [[nodiscard]] Result<OffsetCheckpoint> recovery_points() const;
  [[nodiscard]] Result<OffsetCheckpoint> log_start_offsets() const;
  [[nodiscard]] Result<OffsetCheckpoint> high_watermarks() const;
  /// Up to where logs are compacted.
  [[nodiscard]] Result<OffsetCheckpoint> cleaned_offsets() const;
  /// Log::last_aborts() of the logs that have any, as of the last clean stop.
  [[nodiscard]] Result<OffsetLists> last_aborts() const;
  Status write_recovery_points(const OffsetCheckpoint& offsets);
  Status write_log_start_offsets(const OffsetCheckpoint& offsets);
  Status write_high_watermarks(const OffsetCheckpoint& offsets);
  Status write_cleaned_offsets(const OffsetCheckpoint& offsets);
  Status write_last_aborts(const OffsetLists& offsets);
  /// Removes .kafka_cleanshutdown. To be called before a log is opened or made.
  Status mark_in_use();
  /// Writes .kafka_cleanshutdown. REQUIRES: every log is closed, every checkpoint written.
  Status mark_clean();
  /// Whether an fsync of the files above has failed: what is in them is not certain any more, and
  /// nor is what else is in the directory.
  [[nodiscard]] bool sync_failed() const;
  /// Lets another broker have the directory. Nothing may be written to it any more.
  void release_lock();

  /// Partition directories that are there (`<topic>-<n>`), without -delete, -future and -stray.
  [[nodiscard]] Result<std::vector<TopicPartition>> list_partitions() const;
  /// The copies that were to take a partition's place (`-future`), with their paths.
  [[nodiscard]] Result<std::vector<std::pair<TopicPartition, std::string>>> list_futures() const;
  /// Removes `*-delete` directories left by an earlier run.
  Status remove_deleted();

 private:
  struct State;
  explicit LogDir(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace barnabas::storage
