#include "dataplane/partition_store.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <utility>

#include "base/fd.h"
#include "base/logger.h"
#include "base/saturating.h"

namespace barnabas::dataplane {
namespace {

int64_t checkpointed(const storage::OffsetCheckpoint& offsets,
                     const storage::TopicPartition& name) {
  const auto found = offsets.find(name);
  return found == offsets.end() ? 0 : found->second;
}

template <class Offsets>
void copy_entry(const Offsets& from, const storage::TopicPartition& name, Offsets& to) {
  const auto found = from.find(name);
  if (found != from.end()) to[name] = found->second;
}

/// A checkpoint; when it is damaged, none, which costs what `consequence` says.
template <class Offsets>
Offsets or_nothing(Result<Offsets> read, const std::string& consequence) {
  if (read.ok()) return std::move(read).value();
  barnabas::log(LogLevel::kError, "store", read.error().message + ": not used, " + consequence);
  return {};
}

}  // namespace

Result<std::unique_ptr<PartitionStore>> PartitionStore::open(
    const std::string& path, size_t number, const storage::LogDirIdentity& identity_if_new,
    storage::FdCache& fds, Clock& clock) {
  BARNABAS_ASSIGN(auto directory, storage::LogDir::open(path, identity_if_new));
  return std::unique_ptr<PartitionStore>(
      new PartitionStore(std::move(directory), number, fds, clock));
}

Status PartitionStore::begin() {
  // Before the mark of a clean stop goes: to be refused costs nothing.
  auto log_starts = directory_->log_start_offsets();
  if (!log_starts.ok() && log_starts.error().code == ErrorCode::kCorruptMessage) {
    return std::move(log_starts).error();
  }
  BARNABAS_TRY(directory_->mark_in_use());
  if (const Status removed = directory_->remove_deleted(); !removed.ok()) {
    log(LogLevel::kError, "store", removed.error().message);  // the next start tries again
  }
  recovery_points_ = or_nothing(directory_->recovery_points(), "every log is checked in full");
  log_start_offsets_ =
      or_nothing(std::move(log_starts), "logs start where their first segments do");
  high_watermarks_ = or_nothing(directory_->high_watermarks(), "what it says of others is lost");
  cleaned_offsets_ =
      or_nothing(directory_->cleaned_offsets(), "compacted logs are compacted from their start");
  last_aborts_ =
      or_nothing(directory_->last_aborts(), "a transaction index that has gone is not missed");
  BARNABAS_ASSIGN(const auto on_disk, directory_->list_partitions());
  MutexLock lock(checkpoint_mutex_);
  left_alone_.insert(on_disk.begin(), on_disk.end());
  return {};
}

Result<std::unique_ptr<storage::Log>> PartitionStore::open_log(const storage::TopicPartition& name,
                                                               const Uuid& topic_id,
                                                               const storage::LogConfig& config) {
  storage::LogOpenOptions options;
  options.clean_shutdown = directory_->was_clean();
  options.recovery_point = checkpointed(recovery_points_, name);
  options.log_start_offset = checkpointed(log_start_offsets_, name);
  options.cleaned_offset = checkpointed(cleaned_offsets_, name);
  if (const auto known = last_aborts_.find(name); known != last_aborts_.end()) {
    options.last_aborts = known->second;
  }
  options.topic_id = topic_id;
  options.health = health_;
  const std::string path = path_of(name);
  if (::access(path.c_str(), F_OK) != 0 && errno == ENOENT) {
    // A crash may have come before it was made. What the checkpoints, which know names alone, say
    // may be of a topic that was deleted, so it begins at 0.
    const bool had_records = options.recovery_point > 0;
    barnabas::log(had_records ? LogLevel::kError : LogLevel::kWarning, "store",
                  path + ": its directory is gone" +
                      (had_records ? ", and the records in it up to offset " +
                                         std::to_string(options.recovery_point) +
                                         " at least, unless they were of a deleted topic"
                                   : std::string(", or was never made")) +
                      "; starting empty");
    options = {};
    options.topic_id = topic_id;
    options.health = health_;
  }
  BARNABAS_ASSIGN(auto log, storage::Log::open(path, name, config, options, fds_, clock_));
  const bool flushes = config.flush_messages != INT64_MAX || config.flush_ms != INT64_MAX;
  if (flushes && log->recovery_point() < log->log_end_offset()) {
    // Everything in the log is about to become readable, so it must be as durable as the topic
    // asks.
    BARNABAS_TRY(log->flush());
  }
  return log;
}

Result<std::unique_ptr<storage::Log>> PartitionStore::create_log(
    const storage::TopicPartition& name, const Uuid& topic_id, const storage::LogConfig& config) {
  storage::LogOpenOptions options;
  options.topic_id = topic_id;
  options.health = health_;
  const bool was_there = has(name);
  auto log = storage::Log::open(path_of(name), name, config, options, fds_, clock_);
  if (log.ok() || was_there) return log;
  // What there is of it, before another directory gets it: in two of them it would end a start.
  BARNABAS_TRY(remove_tree(path_of(name)));
  BARNABAS_TRY(sync_names());
  return log;
}

Result<std::unique_ptr<storage::Log>> PartitionStore::create_copy(
    const storage::TopicPartition& name, const Uuid& topic_id, int64_t start_offset,
    const storage::LogConfig& config) {
  storage::LogOpenOptions options;
  options.topic_id = topic_id;
  options.health = health_;
  options.log_start_offset = start_offset;
  const std::string copy_path = path() + "/" + unique_name(name, storage::kFutureSuffix);
  auto copy = storage::Log::open(copy_path, name, config, options, fds_, clock_);
  if (!copy.ok()) (void)remove_tree(copy_path).ok();  // what there is of it: most likely nothing
  return copy;
}

Result<std::unique_ptr<storage::Log>> PartitionStore::open_copy(const storage::TopicPartition& name,
                                                                const std::string& copy_path,
                                                                const Uuid& topic_id,
                                                                int64_t cleaned_offset,
                                                                const storage::LogConfig& config) {
  storage::LogOpenOptions options;
  options.clean_shutdown = directory_->was_clean();
  options.cleaned_offset = cleaned_offset;
  options.topic_id = topic_id;
  options.health = health_;
  return storage::Log::open(copy_path, name, config, options, fds_, clock_);
}

Status PartitionStore::expect(const Partition& partition, const PartitionTable& table) {
  MutexLock lock(checkpoint_mutex_);
  expected_[&partition] = partition.log()->log_end_offset();
  return write_locked(table);
}

void PartitionStore::end_expecting(const Partition& partition) {
  MutexLock lock(checkpoint_mutex_);
  expected_.erase(&partition);
}

Status PartitionStore::promote(const storage::TopicPartition& name, const std::string& copy_path) {
  BARNABAS_TRY(rename_file(copy_path, path_of(name)));
  return sync_directory(path());
}

Result<std::string> PartitionStore::set_aside(const storage::TopicPartition& name) {
  const std::string from = path_of(name);
  std::string to = path() + "/" + unique_name(name, storage::kStraySuffix);
  BARNABAS_TRY(rename_file(from, to));
  BARNABAS_TRY(sync_names());
  return to;
}

bool PartitionStore::has(const storage::TopicPartition& name) const {
  return ::access(path_of(name).c_str(), F_OK) == 0;
}

Status PartitionStore::remove_directory(const storage::TopicPartition& name,
                                        const std::string& path) {
  // Out of sight in one step, and for good: neither what is half removed nor what a power cut
  // brings back must be taken for a partition.
  const std::string doomed = this->path() + "/" + unique_name(name, storage::kDeleteSuffix);
  BARNABAS_TRY(rename_file(path, doomed));
  BARNABAS_TRY(sync_names());
  return remove_tree(doomed);
}

void PartitionStore::remove_later(const std::string& path, int64_t delay_ms) {
  MutexLock lock(mutex_);
  removals_.push_back({saturating_add(clock_.monotonic_ms(), delay_ms), path});
}

void PartitionStore::remove_due() {
  std::vector<std::string> due;
  {
    MutexLock lock(mutex_);
    const int64_t now_ms = clock_.monotonic_ms();
    std::erase_if(removals_, [&](const Removal& removal) {
      if (removal.due_ms > now_ms) return false;
      due.push_back(removal.path);
      return true;
    });
  }
  for (const auto& path : due) {
    if (const Status status = remove_tree(path); !status.ok()) {
      log(LogLevel::kWarning, "store", status.error().message);
    }
  }
}

Status PartitionStore::forget(const std::string& topic, const std::vector<int32_t>& partitions,
                              const PartitionTable& table) {
  MutexLock lock(checkpoint_mutex_);
  bool known = false;
  for (const int32_t partition : partitions) {
    const storage::TopicPartition name{topic, partition};
    known = known || checkpointed_.contains(name) || recovery_points_.contains(name) ||
            log_start_offsets_.contains(name) || cleaned_offsets_.contains(name);
    recovery_points_.erase(name);
    log_start_offsets_.erase(name);
    left_alone_.erase(name);
    cleaned_offsets_.erase(name);
    last_aborts_.erase(name);
  }
  return known ? write_locked(table) : Status();
}

Status PartitionStore::mark_clean(const PartitionTable& table) {
  {
    MutexLock lock(checkpoint_mutex_);
    BARNABAS_TRY(offline_unless(write_last_aborts(table)));
  }
  return offline_unless(directory_->mark_clean());
}

Status PartitionStore::write_last_aborts(const PartitionTable& table) {
  storage::OffsetLists offsets;
  for (const storage::TopicPartition& name : left_alone_) copy_entry(last_aborts_, name, offsets);
  for (const auto& partition : table.partitions()) {
    if (partition->directory() != number_ || partition->deleted()) continue;
    const storage::TopicPartition name{partition->topic().name, partition->index()};
    if (partition->log() == nullptr) {
      copy_entry(last_aborts_, name, offsets);
    } else if (auto aborts = partition->log()->last_aborts(); !aborts.empty()) {
      offsets[name] = std::move(aborts);
    }
  }
  // Most directories have never seen an aborted transaction.
  return offsets.empty() && last_aborts_.empty() ? Status()
                                                 : directory_->write_last_aborts(offsets);
}

Status PartitionStore::write_checkpoints(const PartitionTable& table) {
  MutexLock lock(checkpoint_mutex_);
  return write_locked(table);
}

Status PartitionStore::write_locked(const PartitionTable& table) {
  storage::OffsetCheckpoint recovery_points;
  storage::OffsetCheckpoint log_starts;
  storage::OffsetCheckpoint high_watermarks;
  storage::OffsetCheckpoint cleaned;
  auto partitions = table.partitions();
  std::erase_if(partitions, [this](const auto& partition) REQUIRES(checkpoint_mutex_) {
    return partition->directory() != number_ && !expected_.contains(partition.get());
  });
  for (size_t i = 0; i < partitions.size() && !left_alone_.empty(); ++i) {
    left_alone_.erase({partitions[i]->topic().name, partitions[i]->index()});
  }
  for (const storage::TopicPartition& name : left_alone_) {
    copy_entry(recovery_points_, name, recovery_points);
    copy_entry(log_start_offsets_, name, log_starts);
    copy_entry(high_watermarks_, name, high_watermarks);
    copy_entry(cleaned_offsets_, name, cleaned);
  }
  for (const auto& partition : partitions) {
    const storage::TopicPartition name{partition->topic().name, partition->index()};
    const storage::Log* log = partition->log();
    if (log == nullptr) {
      // Not opened this time: what was known of it stays.
      copy_entry(recovery_points_, name, recovery_points);
      copy_entry(log_start_offsets_, name, log_starts);
      copy_entry(cleaned_offsets_, name, cleaned);
      continue;
    }
    if (partition->deleted()) continue;
    const auto expected = expected_.find(partition.get());
    recovery_points[name] = expected == expected_.end() ? log->recovery_point() : expected->second;
    if (log->log_start_offset() > 0) log_starts[name] = log->log_start_offset();
    if (log->cleaned_offset() > 0) cleaned[name] = log->cleaned_offset();
    high_watermarks[name] = partition->high_watermark();
  }
  for (const auto& [name, offset] : recovery_points) checkpointed_.insert(name);
  // Log starts first: a recovery point that moved with one says nothing of what lies below both.
  BARNABAS_TRY(offline_unless(directory_->write_log_start_offsets(log_starts)));
  BARNABAS_TRY(offline_unless(directory_->write_recovery_points(recovery_points)));
  BARNABAS_TRY(offline_unless(directory_->write_high_watermarks(high_watermarks)));
  return offline_unless(directory_->write_cleaned_offsets(cleaned));
}

Status PartitionStore::offline_unless(Status written) {
  if (!written.ok() && directory_->sync_failed() && !failed()) {
    log(LogLevel::kError, "store", written.error().message + ": the log directory is offline");
    fail();
  }
  return written;
}

}  // namespace barnabas::dataplane
