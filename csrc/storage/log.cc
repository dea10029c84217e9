#include "storage/log.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cassert>
#include <cerrno>
#include <chrono>
#include <thread>

#include "base/clock.h"
#include "base/fd.h"
#include "base/file_system.h"
#include "base/logger.h"
#include "storage/fd_cache.h"
#include "storage/log_file_name.h"
#include "storage/log_impl.h"
#include "storage/log_loader.h"
#include "storage/partition_metadata.h"

namespace barnabas::storage {
namespace {

// How long a reader waits for a writer that is taking files away: a swap has fsyncs.
constexpr int64_t kSettleNs = 1'000'000'000;

bool is_for_want_of_room(const Error& error) {
  return error.sys_errno == ENOSPC || error.sys_errno == EDQUOT;
}

class WritingMark {
 public:
  explicit WritingMark(std::atomic<bool>& writing) : writing_(writing) {
    writing_.store(true, std::memory_order_relaxed);
  }
  ~WritingMark() { writing_.store(false, std::memory_order_relaxed); }
  WritingMark(const WritingMark&) = delete;
  WritingMark& operator=(const WritingMark&) = delete;

 private:
  std::atomic<bool>& writing_;
};

/// Beside a reader the log's writer may take files away (retention, compaction): then all is looked
/// at again.
Result<LoadedLog> load_settled(const std::string& directory, const LogConfig& config,
                               const LogOpenOptions& options, FdCache& fds, Clock& clock) {
  const int64_t deadline_ns = system_clock().monotonic_ns() + kSettleNs;
  for (;;) {
    LogLoader loader(directory, config, options, fds, clock);
    Result<LoadedLog> loaded = loader.load();
    if (loaded.ok() || !options.read_only) return loaded;
    const int sys_errno = loaded.error().sys_errno;
    const bool is_changing =
        sys_errno == EAGAIN || (sys_errno == ENOENT && ::access(directory.c_str(), F_OK) == 0);
    if (!is_changing || system_clock().monotonic_ns() > deadline_ns) return loaded;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

}  // namespace

Result<std::unique_ptr<Log>> Log::open(const std::string& directory, TopicPartition name,
                                       const LogConfig& config, const LogOpenOptions& options,
                                       FdCache& fds, Clock& clock) {
  const bool is_new = !options.read_only && file_system().mkdir(directory.c_str(), 0755) == 0;
  if (!is_new && !options.read_only && errno != EEXIST) return system_error(directory);
  std::optional<Uuid> topic_id;
  if (!is_new) topic_id = read_partition_metadata(directory);
  if (topic_id && options.topic_id && *topic_id != *options.topic_id) {
    return Error{ErrorCode::kInconsistentTopicId,
                 directory + ": belongs to the topic with id " + topic_id->to_string() +
                     ", not to " + options.topic_id->to_string() + ", by its " +
                     std::string(kPartitionMetadataName) +
                     ". If it is this topic's, remove that file: the next start writes it anew. If "
                     "it is another's, move the directory away",
                 0};
  }
  if (!topic_id && options.topic_id) {
    topic_id = options.topic_id;
    if (!options.read_only) BARNABAS_TRY(write_partition_metadata(directory, *topic_id));
  }
  BARNABAS_ASSIGN(LoadedLog loaded, load_settled(directory, config, options, fds, clock));
  return std::unique_ptr<Log>(
      std::make_unique<LogImpl>(directory, std::move(name), config, topic_id.value_or(Uuid{}),
                                std::move(loaded), is_new, options, fds, clock));
}

LogImpl::LogImpl(std::string directory, TopicPartition name, const LogConfig& config,
                 const Uuid& topic_id, LoadedLog loaded, bool is_new, const LogOpenOptions& options,
                 FdCache& fds, Clock& clock)
    : name_(std::move(name)),
      topic_id_(topic_id),
      read_only_(options.read_only),
      report_(std::move(loaded.report)),
      fds_(fds),
      clock_(clock),
      log_start_offset_(loaded.log_start_offset),
      log_end_offset_(loaded.log_end_offset),
      recovery_point_(loaded.recovery_point),
      cleaned_offset_(loaded.cleaned_offset),
      active_base_offset_(loaded.segments.back()->base_offset),
      latest_epoch_(loaded.epochs.latest_epoch()),
      first_unstable_offset_(loaded.producers.first_unstable_offset()),
      last_abort_offset_(loaded.last_abort_offset),
      config_(config),
      directory_(std::move(directory)),
      healths_{options.health ? options.health : std::make_shared<DirectoryHealth>()},
      segments_(std::move(loaded.segments)),
      epochs_(std::move(loaded.epochs)),
      producers_(std::move(loaded.producers)),
      snapshots_(std::move(loaded.snapshots)),
      last_snapshot_offset_(loaded.last_snapshot_offset),
      last_flush_ms_(clock.monotonic_ms()),
      epochs_changed_(loaded.epochs_changed),
      // After a kill nobody knows which names the one before has made and not fsynced.
      names_changed_(is_new || !options.clean_shutdown),
      directory_is_new_(is_new || !options.clean_shutdown) {
  health_.store(healths_.back().get());
}

LogImpl::~LogImpl() { forget_files(); }

void LogImpl::forget_files() {
  MutexLock lock(mutex_);
  for (const SegmentPtr& segment : segments_) {
    for (const std::string_view file_suffix :
         {suffix::kLog, suffix::kOffsetIndex, suffix::kTimeIndex, suffix::kTransactionIndex}) {
      fds_.forget(path_of(*segment, file_suffix));
    }
  }
}

Status LogImpl::check_writable() const {
  if (offline()) {
    const char* const what = health_.load()->failed()
                                 ? ": its log directory is offline since an fsync failed"
                                 : ": the log is offline";
    return Error{ErrorCode::kKafkaStorageError, name_.to_string() + what, EIO};
  }
  if (read_only_) {
    return Error{ErrorCode::kKafkaStorageError, name_.to_string() + ": opened for reading only", 0};
  }
  if (closed_) {
    return Error{ErrorCode::kKafkaStorageError, name_.to_string() + ": the log is closed", 0};
  }
  return {};
}

bool LogImpl::should_roll(const Segment& active, uint64_t bytes, int64_t last_offset,
                          int64_t max_timestamp) const {
  if (last_offset - active.base_offset > INT32_MAX) return true;
  if (active.size == 0) return false;
  if (active.size + bytes > static_cast<uint64_t>(config_.segment_bytes)) return true;
  if (active.offset_index.full(config_.segment_index_bytes) ||
      active.time_index.full(config_.segment_index_bytes)) {
    return true;
  }
  // By the records' own time when they have one, else by the wall clock.
  const int64_t since = active.first_timestamp >= 0 ? active.first_timestamp : active.created_ms;
  const int64_t until = active.first_timestamp >= 0 ? max_timestamp : clock_.wall_ms();
  return until > since && until - since > roll_after_ms(active);
}

Result<AppendInfo> LogImpl::append(const AppendBatch& batch, int32_t leader_epoch) {
  const record::BatchView view(batch.bytes);
  assert(view.size_bytes() == batch.bytes.size());
  AppendInfo info;
  MutexLock writing(write_mutex_);
  bool roll_first = false;
  WriteTarget target;
  {
    MutexLock lock(mutex_);
    BARNABAS_TRY(check_writable());
    if (batch.bytes.size() > static_cast<uint64_t>(config_.segment_bytes)) {
      return Error{ErrorCode::kRecordListTooLarge,
                   "batch of " + std::to_string(batch.bytes.size()) +
                       " bytes does not fit a segment of " + std::to_string(config_.segment_bytes),
                   0};
    }
    info.log_start_offset = log_start_offset_.load();
    if (view.timestamp_type() == record::TimestampType::kLogAppendTime) {
      info.log_append_time_ms = view.max_timestamp();
    }
    if (view.has_producer_id()) {
      BARNABAS_ASSIGN(const auto earlier, producers_.check(view, batch.bytes, batch.producer,
                                                           config_.verify_transactions));
      if (earlier) {
        info.base_offset = earlier->first_offset();
        info.last_offset = earlier->last_offset;
        if (info.log_append_time_ms >= 0) info.log_append_time_ms = earlier->timestamp;
        info.duplicate = true;
        return info;
      }
    }
    info.base_offset = log_end_offset_.load();
    info.last_offset = info.base_offset + view.last_offset_delta();
    roll_first =
        should_roll(*segments_.back(), batch.bytes.size(), info.last_offset, view.max_timestamp());
    target = write_target();
  }
  const WritingMark mark(writing_);
  if (roll_first) {
    BARNABAS_ASSIGN(target, roll_to_target());
  }
  store_be<int64_t>(batch.bytes.data() + record::field::kBaseOffset, info.base_offset);
  store_be<int32_t>(batch.bytes.data() + record::field::kLeaderEpoch, leader_epoch);
  BARNABAS_ASSIGN(info.needs_flush, write_batches(batch.bytes, std::move(target)));
  return info;
}

Result<AppendInfo> LogImpl::append_as_follower(ByteView bytes) {
  MutexLock writing(write_mutex_);
  AppendInfo info;
  info.base_offset = log_end_offset_.load();
  int64_t expected = info.base_offset;
  int64_t max_timestamp = record::kNoTimestamp;
  for (ByteView rest = bytes; !rest.empty();) {
    const auto view = record::peek_batch(rest);
    if (!view || !plausible_header(*view)) {
      return Error{ErrorCode::kCorruptMessage, name_.to_string() + ": not whole batches", 0};
    }
    if (view->base_offset() < expected) {
      const bool first = rest.size() == bytes.size();
      return Error{first ? ErrorCode::kOffsetOutOfRange : ErrorCode::kCorruptMessage,
                   name_.to_string() + ": offset " + std::to_string(view->base_offset()) +
                       " is below " + (first ? "the log end offset " : "the offset expected, ") +
                       std::to_string(expected),
                   0};
    }
    if (expected == info.base_offset) info.base_offset = view->base_offset();
    expected = view->next_offset();
    max_timestamp = std::max(max_timestamp, view->max_timestamp());
    rest = rest.subspan(view->size_bytes());
  }
  if (bytes.empty()) return info;
  info.last_offset = expected - 1;
  bool roll_first = false;
  WriteTarget target;
  {
    MutexLock lock(mutex_);
    BARNABAS_TRY(check_writable());
    if (info.last_offset - info.base_offset > INT32_MAX) {
      return Error{ErrorCode::kCorruptMessage, name_.to_string() + ": offsets too far apart", 0};
    }
    info.log_start_offset = log_start_offset_.load();
    roll_first = should_roll(*segments_.back(), bytes.size(), info.last_offset, max_timestamp);
    target = write_target();
  }
  if (roll_first) {
    BARNABAS_ASSIGN(target, roll_to_target());
  }
  BARNABAS_ASSIGN(info.needs_flush, write_batches(bytes, std::move(target)));
  return info;
}

void LogImpl::begin_leader_epoch(int32_t leader_epoch) {
  MutexLock writing(write_mutex_);
  MutexLock lock(mutex_);
  if (read_only_ || leader_epoch <= epochs_.latest_epoch()) return;
  epochs_changed_ |= epochs_.assign(leader_epoch, log_end_offset_.load());
  latest_epoch_.store(epochs_.latest_epoch());
}

LogImpl::WriteTarget LogImpl::write_target() const {
  const SegmentPtr& active = segments_.back();
  return {active, active->file.lock(), active->size};
}

Result<LogImpl::WriteTarget> LogImpl::roll_to_target() {
  BARNABAS_TRY(roll_segment());
  MutexLock lock(mutex_);
  return write_target();
}

Result<bool> LogImpl::write_batches(ByteView bytes, WriteTarget target) {
  if (!target.file) {
    BARNABAS_ASSIGN(target.file, open_log_file(target.segment));
  }
  const int fd = target.file->get();
  // A path would need an allocation for every append.
  static const std::string what = "active segment";
  if (has_remainder_) BARNABAS_TRY(cut_remainder());
  Status written = write_all_at(fd, bytes, target.position, what);
  if (!written.ok()) {
    // Whatever part got there must go: the next batch is to start at the same byte.
    const Status taken_back = truncate_file(fd, target.position, what);
    Error error = std::move(written).error();
    error.message = name_.to_string() + ": " + error.message;
    // To give room back may need some (btrfs, at a quota). What is left lies behind all batches.
    has_remainder_ = !taken_back.ok() && is_for_want_of_room(taken_back.error());
    if (!taken_back.ok() && !has_remainder_) {
      go_offline(error.message + "; taking it back: " + taken_back.error().message);
    }
    return error;
  }
  bool index_due = false;
  bool transactions_due = false;
  bool needs_flush = false;
  {
    MutexLock lock(mutex_);
    publish(bytes);
    // In groups: an entry is due every 4 KiB of log, one write for each would double the calls.
    constexpr uint32_t kGroupEntries = 64;
    index_due = segments_.back()->offset_index.entries.pending_count() >= kGroupEntries;
    transactions_due = segments_.back()->transaction_index.entries.pending_count() > 0;
    needs_flush = wants_flush();
  }
  if (index_due) persist_index_tails();
  if (transactions_due) persist_transactions();
  return needs_flush;
}

Status LogImpl::cut_remainder() {
  if (!has_remainder_) return {};
  WriteTarget target;
  {
    MutexLock lock(mutex_);
    BARNABAS_TRY(check_writable());
    target = write_target();
  }
  std::string path;
  BARNABAS_ASSIGN(const SharedFd file, open_log_file(target.segment, &path));
  BARNABAS_TRY(truncate_file(file->get(), target.position, path));
  has_remainder_ = false;
  return {};
}

void LogImpl::publish(ByteView bytes) {
  Segment& active = *segments_.back();
  while (!bytes.empty()) {
    const record::BatchView view(bytes);
    const BatchPosition position{view.base_offset(), view.last_offset(), active.size,
                                 view.size_bytes()};
    active.add_batch(view, config_.index_interval_bytes);
    recent_.add(position);
    if (view.has_producer_id()) publish_producer(view);
    if (view.leader_epoch() > epochs_.latest_epoch()) {
      epochs_changed_ |= epochs_.assign(view.leader_epoch(), view.base_offset());
    }
    bytes = bytes.subspan(view.size_bytes());
  }
  latest_epoch_.store(epochs_.latest_epoch());
  log_end_offset_.store(active.next_offset);
}

bool LogImpl::wants_flush() const {
  if (log_end_offset_.load() - recovery_point_.load() >= config_.flush_messages) return true;
  return config_.flush_ms != INT64_MAX &&
         clock_.monotonic_ms() - last_flush_ms_ >= config_.flush_ms;
}

void LogImpl::persist_index_tails() {
  PendingIndex offsets;
  PendingIndex times;
  SegmentPtr active;
  {
    MutexLock lock(mutex_);
    active = segments_.back();
    offsets = pending_entries(active->offset_index.entries, path_of(*active, suffix::kOffsetIndex));
    times = pending_entries(active->time_index.entries, path_of(*active, suffix::kTimeIndex));
  }
  // A failure is no failure of the append: the entries stay in memory and are tried again.
  const bool offsets_written = write_pending(offsets).ok();
  const bool times_written = write_pending(times).ok();
  MutexLock lock(mutex_);
  if (offsets_written) active->offset_index.entries.mark_persisted(offsets.count);
  if (times_written) active->time_index.entries.mark_persisted(times.count);
}

void LogImpl::go_offline(const std::string& why) {
  offline_.store(true);
  log(LogLevel::kError, "storage", name_.to_string() + ": offline: " + why);
}

std::string LogImpl::path_of(const Segment& segment, std::string_view file_suffix) const {
  return log_file_path(directory_, segment.base_offset, file_suffix);
}

Result<SharedFd> LogImpl::open_log_file(const SegmentPtr& segment, std::string* path_out) {
  std::string path;
  {
    MutexLock lock(mutex_);
    SharedFd file = segment->file.lock();
    if (file && path_out == nullptr) return file;
    path = path_of(*segment, suffix::kLog);
    if (file) {
      *path_out = std::move(path);
      return file;
    }
  }
  auto file = fds_.open(path);
  if (!file.ok()) {
    return follow_rename(file.error()) ? open_log_file(segment, path_out) : std::move(file);
  }
  if (path_out != nullptr) *path_out = std::move(path);
  MutexLock lock(mutex_);
  segment->file = *file;
  return file;
}

std::string LogImpl::directory() const {
  MutexLock lock(mutex_);
  return directory_;
}

uint64_t LogImpl::size_bytes() const {
  MutexLock lock(mutex_);
  uint64_t bytes = 0;
  for (const auto& segment : segments_) bytes += segment->size;
  return bytes;
}

size_t LogImpl::segment_count() const {
  MutexLock lock(mutex_);
  return segments_.size();
}

EpochEndOffset LogImpl::end_offset_for_epoch(int32_t leader_epoch) {
  MutexLock lock(mutex_);
  const auto found = epochs_.end_offset_for(leader_epoch, log_end_offset_.load());
  return {found.epoch, found.offset};
}

int32_t LogImpl::epoch_for_offset(int64_t offset) {
  MutexLock lock(mutex_);
  return epochs_.epoch_for_offset(offset);
}

void LogImpl::set_config(const LogConfig& config) {
  MutexLock lock(mutex_);
  config_ = config;
}

}  // namespace barnabas::storage
