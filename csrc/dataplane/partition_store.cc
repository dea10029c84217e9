#include "dataplane/partition_store.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <utility>

#include "base/fd.h"
#include "base/logger.h"
#include "dataplane/disk_pool.h"

namespace barnabas::dataplane {
namespace {

constexpr size_t kMinOpenFiles = 64;

// Half of what the process may open; the rest is for connections and everything else.
size_t open_file_budget() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return kMinOpenFiles;
  if (limit.rlim_cur < limit.rlim_max) {
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0) (void)getrlimit(RLIMIT_NOFILE, &limit);
  }
  return std::max<size_t>(kMinOpenFiles, limit.rlim_cur / 2);
}

int64_t checkpointed(const storage::OffsetCheckpoint& offsets,
                     const storage::TopicPartition& name) {
  const auto found = offsets.find(name);
  return found == offsets.end() ? 0 : found->second;
}

void copy_entry(const storage::OffsetCheckpoint& from, const storage::TopicPartition& name,
                storage::OffsetCheckpoint& to) {
  const auto found = from.find(name);
  if (found != from.end()) to[name] = found->second;
}

/// A checkpoint; when it is damaged, none, which costs what `consequence` says.
storage::OffsetCheckpoint or_nothing(Result<storage::OffsetCheckpoint> read,
                                     const std::string& consequence) {
  if (read.ok()) return std::move(read).value();
  barnabas::log(LogLevel::kError, "store", read.error().message + ": not used, " + consequence);
  return {};
}

void discard(std::unique_ptr<storage::Log> log) {
  Status status = log->mark_deleted();
  const std::string path = log->directory();
  log.reset();
  if (status.ok()) status = remove_tree(path);
  if (!status.ok()) barnabas::log(LogLevel::kWarning, "store", status.error().message);
}

}  // namespace

PartitionStore::PartitionStore(std::unique_ptr<storage::LogDir> directory, size_t max_open_files,
                               Clock& clock)
    : directory_(std::move(directory)), fds_(max_open_files), clock_(clock) {}

Result<std::unique_ptr<PartitionStore>> PartitionStore::open(const std::string& path,
                                                             const std::string& cluster_id,
                                                             int32_t node_id, Clock& clock) {
  storage::LogDirIdentity identity;
  identity.cluster_id = cluster_id;
  identity.node_id = node_id;
  BARNABAS_ASSIGN(auto directory, storage::LogDir::open(path, identity));
  return std::unique_ptr<PartitionStore>(
      new PartitionStore(std::move(directory), open_file_budget(), clock));
}

std::string PartitionStore::path_of(const storage::TopicPartition& name) const {
  return directory_->path() + "/" + name.to_string();
}

Status PartitionStore::begin() {
  BARNABAS_TRY(directory_->mark_in_use());
  if (const Status removed = directory_->remove_deleted(); !removed.ok()) {
    log(LogLevel::kError, "store", removed.error().message);  // the next start tries again
  }
  recovery_points_ = or_nothing(directory_->recovery_points(), "every log is checked in full");
  log_start_offsets_ =
      or_nothing(directory_->log_start_offsets(), "logs start where their first segments do");
  high_watermarks_ = or_nothing(directory_->high_watermarks(), "what it says of others is lost");
  cleaned_offsets_ =
      or_nothing(directory_->cleaned_offsets(), "compacted logs are compacted from their start");
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
  options.topic_id = topic_id;
  options.health = health_;
  const std::string path = path_of(name);
  if (options.recovery_point > 0 && ::access(path.c_str(), F_OK) != 0 && errno == ENOENT) {
    barnabas::log(LogLevel::kError, "store",
                  path + ": its directory is gone, and the records in it up to offset " +
                      std::to_string(options.recovery_point) + " at least; starting empty");
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

Result<std::vector<std::unique_ptr<storage::Log>>> PartitionStore::create_logs(
    const std::string& topic, const Uuid& topic_id, const std::vector<int32_t>& partitions,
    const storage::LogConfig& config) {
  std::vector<std::unique_ptr<storage::Log>> logs;
  Status status;
  for (const int32_t partition : partitions) {
    const storage::TopicPartition name{topic, partition};
    storage::LogOpenOptions options;
    options.topic_id = topic_id;
    options.health = health_;
    auto log = storage::Log::open(path_of(name), name, config, options, fds_, clock_);
    if (!log.ok()) {
      status = std::move(log).error();
      break;
    }
    logs.push_back(std::move(log).value());
  }
  if (status.ok()) status = sync_directory(directory_->path());
  if (status.ok()) return logs;
  for (auto& log : logs) discard(std::move(log));
  return std::move(status).error();
}

Result<std::string> PartitionStore::set_aside(const storage::TopicPartition& name) {
  const std::string from = path_of(name);
  std::string to = directory_->path() + "/" + unique_name(name, storage::kStraySuffix);
  BARNABAS_TRY(rename_file(from, to));
  BARNABAS_TRY(sync_directory(directory_->path()));
  return to;
}

Status PartitionStore::remove(const storage::TopicPartition& name) {
  const std::string from = path_of(name);
  // Out of sight in one step: a half-removed directory must not be taken for a partition.
  const std::string doomed = directory_->path() + "/" + unique_name(name, storage::kDeleteSuffix);
  BARNABAS_TRY(rename_file(from, doomed));
  return remove_tree(doomed);
}

void PartitionStore::remove_later(const std::string& path, int64_t delay_ms) {
  MutexLock lock(mutex_);
  removals_.push_back({clock_.monotonic_ms() + delay_ms, path});
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
  }
  return known ? write_locked(table) : Status();
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
  const auto partitions = table.partitions();
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
    recovery_points[name] = log->recovery_point();
    if (log->log_start_offset() > 0) log_starts[name] = log->log_start_offset();
    if (log->cleaned_offset() > 0) cleaned[name] = log->cleaned_offset();
    high_watermarks[name] = partition->high_watermark();
  }
  for (const auto& [name, offset] : recovery_points) checkpointed_.insert(name);
  // Log starts first: a recovery point that moved with one says nothing of what lies below both.
  BARNABAS_TRY(directory_->write_log_start_offsets(log_starts));
  BARNABAS_TRY(directory_->write_recovery_points(recovery_points));
  BARNABAS_TRY(directory_->write_high_watermarks(high_watermarks));
  return directory_->write_cleaned_offsets(cleaned);
}

Status PartitionStore::close_all(const PartitionTable& table, int threads) {
  const auto partitions = table.partitions();
  Mutex mutex;
  Status first;
  parallel_for(threads, partitions.size(), [&](size_t i) {
    const Partition& partition = *partitions[i];
    Status status;
    if (partition.log() == nullptr) {
      status = Error{ErrorCode::kKafkaStorageError, partition.to_string() + " was not opened"};
    } else {
      status = partition.log()->close();
    }
    if (status.ok()) return;
    log(LogLevel::kError, "store",
        "closing " + partition.to_string() + ": " + status.error().message);
    MutexLock lock(mutex);
    if (first.ok()) first = std::move(status);
  });
  const Status written = write_checkpoints(table);
  return first.ok() ? written : first;
}

}  // namespace barnabas::dataplane
