// Truncation, deletion and what is done from time to time.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "base/logger.h"
#include "base/planted.h"
#include "base/saturating.h"
#include "storage/batch_cursor.h"
#include "storage/fd_cache.h"
#include "storage/log_file_name.h"
#include "storage/log_impl.h"
#include "storage/producer_loader.h"

namespace barnabas::storage {
namespace {

constexpr std::string_view kSegmentSuffixes[] = {suffix::kLog,
                                                 suffix::kOffsetIndex,
                                                 suffix::kTimeIndex,
                                                 suffix::kTransactionIndex,
                                                 suffix::kTransactionChecksum,
                                                 suffix::kSnapshot};

}  // namespace

Status LogImpl::truncate_to(int64_t offset) {
  MutexLock flushing(flush_mutex_);  // a flush under way must not count what is cut as durable
  MutexLock writing(write_mutex_);
  SegmentPtr holder;
  Lookup lookup;
  {
    MutexLock lock(mutex_);
    BARNABAS_TRY(check_writable());
    if (offset >= log_end_offset_.load()) return {};
    offset = std::max(offset, log_start_offset_.load());
    holder = segment_for(offset);
    lookup = prepare_lookup(holder, offset);
  }
  // A batch that holds the offset goes as a whole.
  BARNABAS_ASSIGN(const auto first_cut, find_certainly(lookup));
  const uint64_t end_position = first_cut ? first_cut->position : lookup.size;
  const int64_t end_offset = first_cut ? std::min(offset, first_cut->base_offset) : offset;
  std::vector<SegmentPtr> doomed;
  {
    // What is cut is out of readers' sight before the files change.
    MutexLock lock(mutex_);
    ++shape_version_;
    while (segments_.back() != holder) {
      doomed.push_back(segments_.back());
      segments_.pop_back();
    }
    active_base_offset_.store(holder->base_offset);
    recent_.clear();
    holder->size = end_position;
    holder->next_offset = end_offset;
    log_end_offset_.store(end_offset);
    recovery_point_.store(std::min(recovery_point_.load(), end_offset));
    cleaned_offset_.store(std::min(cleaned_offset_.load(), end_offset));
    epochs_changed_ |= epochs_.truncate_from_end(end_offset);
    latest_epoch_.store(epochs_.latest_epoch());
  }
  remove_segments(doomed);
  // All durable before other batches take these offsets: after a power cut neither a segment nor a
  // snapshot nor batches of what was cut must be found behind them.
  BARNABAS_TRY(remove_snapshots_above(end_offset));
  BARNABAS_TRY(leave_forks(holder));
  std::string path;
  BARNABAS_ASSIGN(const SharedFd file, open_log_file(holder, &path));
  if (const Status cut = truncate_file(file->get(), end_position, path); !cut.ok()) {
    go_offline(cut.error().message + " in a truncation");
    return cut;
  }
  has_remainder_ = false;
  BARNABAS_TRY(offline_unless(sync_data(file->get(), path)));
  // Truncation is rare: building the indexes anew is simpler than cutting them, and as right.
  BARNABAS_TRY(rebuild_indexes(holder));
  BARNABAS_TRY(truncate_transactions(holder, end_offset));
  return reload_producers(end_offset);
}

Status LogImpl::rebuild_indexes(const SegmentPtr& segment) {
  {
    MutexLock lock(mutex_);
    // Readers do without while the files change.
    segment->offset_index.entries.reset(0);
    segment->time_index.entries.reset(0);
  }
  BARNABAS_ASSIGN(Segment rebuilt, read_indexes(segment));
  return install_indexes(segment, std::move(rebuilt));
}

Result<Segment> LogImpl::read_indexes(const SegmentPtr& segment) {
  int32_t interval = 0;
  uint64_t end = 0;
  OffsetBounds bounds;
  bool active = false;
  {
    MutexLock lock(mutex_);
    interval = config_.index_interval_bytes;
    end = segment->size;
    bounds = bounds_of(*segment);
    active = segment == segments_.back();
  }
  std::string path;
  BARNABAS_ASSIGN(const SharedFd file, open_log_file(segment, &path));
  Segment rebuilt(segment->base_offset);
  BARNABAS_TRY(rebuild_from_headers(rebuilt, file->get(), path, end, interval, bounds));
  if (!active) rebuilt.finish_time_index();
  return rebuilt;
}

Status LogImpl::install_indexes(const SegmentPtr& segment, Segment rebuilt) {
  std::string directory;
  {
    MutexLock lock(mutex_);
    directory = directory_;
  }
  BARNABAS_TRY(persist_indexes(rebuilt, directory));
  for (const std::string_view file_suffix : {suffix::kOffsetIndex, suffix::kTimeIndex}) {
    fds_.forget(log_file_path(directory, segment->base_offset, file_suffix));  // may be new files
  }
  MutexLock lock(mutex_);
  segment->offset_index.take_entries(std::move(rebuilt.offset_index));
  segment->time_index.take_entries(std::move(rebuilt.time_index));
  segment->max_timestamp = rebuilt.max_timestamp;
  segment->max_timestamp_seen = true;
  segment->first_timestamp = rebuilt.first_timestamp;
  segment->bytes_since_index_entry = rebuilt.bytes_since_index_entry;
  segment->index_damaged = false;
  ++segment->index_files_written;
  names_changed_ = true;
  if (segment->size == 0) segment->created_ms = clock_.wall_ms();
  return {};
}

Status LogImpl::remove_snapshots_above(int64_t offset) {
  std::string directory;
  std::vector<int64_t> doomed;
  {
    MutexLock lock(mutex_);
    directory = directory_;
    doomed.assign(snapshots_.upper_bound(offset), snapshots_.end());
  }
  for (const int64_t snapshot : doomed) {
    BARNABAS_TRY(remove_file(log_file_path(directory, snapshot, suffix::kSnapshot)));
    MutexLock lock(mutex_);
    snapshots_.erase(snapshot);
  }
  return sync_own_names(directory);
}

Status LogImpl::reload_producers(int64_t offset) {
  std::string directory;
  std::vector<SegmentPtr> segments;
  std::set<int64_t> snapshots;
  {
    MutexLock lock(mutex_);
    directory = directory_;
    segments = segments_;
    snapshots = snapshots_;
  }
  ProducerLoader loader(directory, fds_, segments, snapshots, clock_.wall_ms());
  BARNABAS_TRY(loader.load(offset));
  MutexLock lock(mutex_);
  // Guards are given out once for all: one from before must not fit a transaction of after.
  loader.state.verifications() = std::move(producers_.verifications());
  producers_ = std::move(loader.state);
  first_unstable_offset_.store(producers_.first_unstable_offset());
  snapshots_ = std::move(snapshots);
  last_snapshot_offset_ = loader.snapshot_offset;
  return {};
}

Status LogImpl::advance_log_start_offset(int64_t offset) {
  MutexLock flushing(flush_mutex_);
  MutexLock writing(write_mutex_);
  std::vector<SegmentPtr> doomed;
  {
    MutexLock lock(mutex_);
    BARNABAS_TRY(check_writable());
    if (offset > log_end_offset_.load()) {
      return Error{ErrorCode::kOffsetOutOfRange,
                   name_.to_string() + ": log start offset " + std::to_string(offset) +
                       " would be beyond the log end offset " +
                       std::to_string(log_end_offset_.load()),
                   0};
    }
    if (offset <= log_start_offset_.load()) return {};
    log_start_offset_.store(offset);
    recovery_point_.store(std::max(recovery_point_.load(), offset));
    epochs_changed_ |= epochs_.truncate_from_start(offset);
    doomed = take_segments_below(offset);
  }
  remove_segments(doomed);
  return {};
}

std::vector<LogImpl::SegmentPtr> LogImpl::take_segments_below(int64_t offset) {
  std::vector<SegmentPtr> taken;
  while (segments_.size() > taken.size() + 1 &&
         segments_[taken.size() + 1]->base_offset <= offset) {
    taken.push_back(segments_[taken.size()]);
  }
  if (taken.empty()) return taken;
  segments_.erase(segments_.begin(), segments_.begin() + static_cast<ptrdiff_t>(taken.size()));
  ++shape_version_;
  return taken;
}

void LogImpl::remove_segments(const std::vector<SegmentPtr>& doomed) {
  if (doomed.empty()) return;
  std::string directory;
  int64_t due_ms = 0;
  bool is_any_name_new = false;
  {
    MutexLock lock(mutex_);
    directory = directory_;
    due_ms = saturating_add(clock_.monotonic_ms(), config_.file_delete_delay_ms);
    is_any_name_new = std::exchange(names_changed_, true);
    for (const SegmentPtr& segment : doomed) snapshots_.erase(segment->base_offset);
  }
  // A power cut that leaves neither the old segments nor the one that was made after them would let
  // the log begin at 0 again, and offsets would be given twice.
  if (is_any_name_new) {
    if (const Status synced = sync_own_names(directory); !synced.ok()) {
      log(LogLevel::kWarning, "storage", synced.error().message);
      return;
    }
  }
  for (const SegmentPtr& segment : doomed) {
    for (const std::string_view file_suffix : kSegmentSuffixes) {
      const std::string path = log_file_path(directory, segment->base_offset, file_suffix);
      if (const Status gone = doom(path, due_ms); !gone.ok()) {
        log(LogLevel::kWarning, "storage", gone.error().message);
      }
    }
  }
}

Status LogImpl::doom(const std::string& path, int64_t due_ms) {
  std::string gone = path + std::string(suffix::kDeleted);
  Status renamed = rename_file(path, gone);
  // Only now: a descriptor that was opened by the name until then must not be found by it.
  fds_.forget(path);
  if (!renamed.ok()) return renamed.error().sys_errno == ENOENT ? Status() : renamed;
  // After a change of file.delete.delay.ms a later one may be due before.
  const auto behind =
      std::upper_bound(doomed_.begin(), doomed_.end(), due_ms,
                       [](int64_t due, const DoomedFile& other) { return due < other.due_ms; });
  doomed_.insert(behind, {std::move(gone), due_ms});
  next_due_ms_.store(doomed_.front().due_ms);
  return {};
}

Status LogImpl::mark_deleted() {
  MutexLock flushing(flush_mutex_);
  MutexLock writing(write_mutex_);
  std::string from;
  std::string to;
  std::vector<std::string> paths;
  {
    MutexLock lock(mutex_);
    closed_ = true;
    from = directory_;
    to = parent_of(from) + "/" + unique_name(name_, kDeleteSuffix);
    for (const SegmentPtr& segment : segments_) {
      for (const std::string_view file_suffix : kSegmentSuffixes) {
        paths.push_back(path_of(*segment, file_suffix));
      }
    }
  }
  BARNABAS_TRY(rename_file(from, to));
  {
    MutexLock lock(mutex_);
    directory_ = to;
    ++shape_version_;
  }
  // A descriptor opened by the old name meanwhile must not be found by a topic made anew.
  for (const std::string& path : paths) fds_.forget(path);
  doomed_.clear();
  next_due_ms_.store(INT64_MAX);
  return sync_directory(parent_of(to));
}

void LogImpl::maintain(int64_t high_watermark) {
  see_expiring_timestamps(high_watermark);
  rebuild_damaged_indexes();
  MutexLock flushing(flush_mutex_);
  MutexLock writing(write_mutex_);
  {
    MutexLock lock(mutex_);
    if (!check_writable().ok()) return;
    producers_.remove_expired(clock_.wall_ms(), config_.producer_id_expiration_ms);
  }
  note_modification_times();
  roll_when_due(high_watermark);
  remove_old_segments(high_watermark);
}

void LogImpl::note_modification_times() {
  std::vector<std::pair<SegmentPtr, std::string>> without_timestamps;
  {
    MutexLock lock(mutex_);
    for (const SegmentPtr& segment : segments_) {
      if (segment->max_timestamp.timestamp >= 0) continue;
      // Compaction may have left nothing of a closed one, and that must not keep the others.
      if (segment->size == 0 && segment == segments_.back()) continue;
      without_timestamps.emplace_back(segment, path_of(*segment, suffix::kLog));
    }
  }
  for (const auto& [segment, path] : without_timestamps) {
    struct stat info {};
    if (::stat(path.c_str(), &info) != 0) continue;
    MutexLock lock(mutex_);
    segment->modified_ms = int64_t{info.st_mtim.tv_sec} * 1000 + info.st_mtim.tv_nsec / 1'000'000;
  }
}

void LogImpl::roll_when_due(int64_t high_watermark) {
  bool roll_now = false;
  {
    MutexLock lock(mutex_);
    const int64_t now_ms = clock_.wall_ms();
    const Segment& active = *segments_.back();
    const int64_t limit_ms = roll_after_ms(active);
    // By both clocks: a topic whose records carry old timestamps would otherwise get a new segment
    // at every look.
    roll_now = active.size > 0 && now_ms - active.created_ms > limit_ms &&
               (active.first_timestamp < 0 || now_ms - active.first_timestamp > limit_ms);
    // Retention takes whole segments, so the one being written has to be left first.
    roll_now = roll_now || count_expired(high_watermark, now_ms) == segments_.size();
  }
  if (!roll_now) return;
  const Status rolled = roll_segment();
  if (!rolled.ok()) log(LogLevel::kWarning, "storage", rolled.error().message);
}

int64_t LogImpl::roll_after_ms(const Segment& active) const {
  // Only closed segments are compacted.
  const int64_t segment_ms = config_.compact && config_.max_compaction_lag_ms > 0
                                 ? std::min(config_.segment_ms, config_.max_compaction_lag_ms)
                                 : config_.segment_ms;
  const auto jitter_ms = static_cast<double>(std::min(config_.segment_jitter_ms, segment_ms));
  return segment_ms - static_cast<int64_t>(active.jitter_share * jitter_ms);
}

void LogImpl::remove_due_files() {
  if (clock_.monotonic_ms() < next_due_ms_.load()) return;
  std::vector<std::string> due;
  {
    MutexLock writing(write_mutex_);
    while (!doomed_.empty() && doomed_.front().due_ms <= clock_.monotonic_ms()) {
      due.push_back(std::move(doomed_.front().path));
      doomed_.pop_front();
    }
    next_due_ms_.store(doomed_.empty() ? INT64_MAX : doomed_.front().due_ms);
  }
  // Unlinking a large file takes a while: not under the lock that appends need.
  for (const std::string& path : due) {
    if (const Status removed = remove_file(path); !removed.ok()) {
      log(LogLevel::kWarning, "storage", removed.error().message);
    }
  }
}

size_t LogImpl::count_expired(int64_t high_watermark, int64_t now_ms) const {
  if (!config_.delete_old) return 0;
  uint64_t excess = 0;  // bytes above retention.bytes
  if (config_.retention_bytes >= 0) {
    uint64_t total = 0;
    for (const SegmentPtr& segment : segments_) total += segment->size;
    const auto kept = static_cast<uint64_t>(config_.retention_bytes);
    excess = total > kept ? total - kept : 0;
  }
  size_t count = 0;
  while (count < segments_.size() && segments_[count]->next_offset <= high_watermark) {
    const Segment& oldest = *segments_[count];
    if (count + 1 == segments_.size() && oldest.size == 0) break;
    const int64_t newest_ms =
        oldest.max_timestamp.timestamp >= 0 ? oldest.max_timestamp.timestamp : oldest.modified_ms;
    const bool too_old = config_.retention_ms >= 0 && now_ms - newest_ms > config_.retention_ms;
    const bool too_much = excess >= oldest.size && excess > 0;
    if (!too_old && !too_much) break;
    excess -= std::min(excess, oldest.size);
    ++count;
  }
  if (strikes<Bug::kRetentionTakesOneMore>() && count > 0 && count < segments_.size()) ++count;
  return count;
}

void LogImpl::remove_old_segments(int64_t high_watermark) {
  std::vector<SegmentPtr> doomed;
  {
    MutexLock lock(mutex_);
    const size_t count =
        std::min(count_expired(high_watermark, clock_.wall_ms()), segments_.size() - 1);
    if (count == 0) return;
    const int64_t new_start = segments_[count]->base_offset;
    log_start_offset_.store(std::max(log_start_offset_.load(), new_start));
    recovery_point_.store(std::max(recovery_point_.load(), new_start));
    epochs_changed_ |= epochs_.truncate_from_start(log_start_offset_.load());
    doomed = take_segments_below(new_start);
  }
  log(LogLevel::kInfo, "storage",
      name_.to_string() + ": retention removes " + std::to_string(doomed.size()) +
          " segments, the log now starts at " + std::to_string(log_start_offset_.load()));
  remove_segments(doomed);
}

void LogImpl::rebuild_damaged_indexes() {
  std::vector<SegmentPtr> damaged;
  {
    MutexLock lock(mutex_);
    if (!check_writable().ok()) return;
    for (const SegmentPtr& segment : segments_) {
      if (segment->index_damaged) damaged.push_back(segment);
    }
  }
  for (const SegmentPtr& segment : damaged) {
    const Status rebuilt = rebuild_damaged(segment);
    if (!rebuilt.ok()) log(LogLevel::kWarning, "storage", rebuilt.error().message);
  }
  // Also those for which there was no room before.
  transactions_damaged_ = true;
  rebuild_transactions();
}

Status LogImpl::rebuild_damaged(const SegmentPtr& segment) {
  uint64_t version = 0;
  bool active = false;
  {
    MutexLock lock(mutex_);
    version = shape_version_;
    active = segment == segments_.back();
  }
  if (active) {
    MutexLock writing(write_mutex_);
    return rebuild_indexes(segment);
  }
  // Reading a whole segment takes a while, and this one changes no more: appends need not wait.
  BARNABAS_ASSIGN(Segment rebuilt, read_indexes(segment));
  MutexLock writing(write_mutex_);
  {
    MutexLock lock(mutex_);
    if (version != shape_version_) return {};  // it may be gone: the next look will tell
  }
  return install_indexes(segment, std::move(rebuilt));
}

}  // namespace barnabas::storage
