// Compaction: which part of the log is worth it, and how a new segment takes the place of old ones.
//
// The swap, as Kafka's, so that a crash at any point leaves the old segments or the new one:
//   1. `.cleaned` files, written and fsynced, are renamed to `.swap`, the .log first. A `.cleaned`
//      file that is still there tells the loader that the swap has not been decided: it drops both.
//   2. the directory is fsynced: decided. From here the loader finishes it.
//   3. the old segments' files are renamed to `.deleted`, and unlinked after file.delete.delay.ms
//   4. `.swap` files lose their suffix, the directory is fsynced
// What is swapped in has a checksum beside it until then: the loader drops what it was made from
// only if it is what was written.
// Readers see the new segment from step 2 on: its file is open, and its index entries are in memory
// until the files have their names.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "base/logger.h"
#include "base/saturating.h"
#include "storage/cleaner.h"
#include "storage/fd_cache.h"
#include "storage/log_file_name.h"
#include "storage/log_impl.h"

namespace barnabas::storage {
namespace {

constexpr std::string_view kFileSuffixes[] = {suffix::kLog, suffix::kOffsetIndex,
                                              suffix::kTimeIndex, suffix::kTransactionIndex,
                                              suffix::kTransactionChecksum};

constexpr std::string_view kCleanedSuffixes[] = {
    suffix::kLog,       suffix::kLogChecksum,      suffix::kOffsetIndex,
    suffix::kTimeIndex, suffix::kTransactionIndex, suffix::kTransactionChecksum};

/// Of the files of one segment only the .log is always there.
Status rename_one(const std::string& from, const std::string& to, std::string_view file_suffix) {
  Status renamed = rename_file(from, to);
  const bool absent = !renamed.ok() && renamed.error().sys_errno == ENOENT;
  return absent && file_suffix != suffix::kLog ? Status() : renamed;
}

/// A segment's file that is not there any more was taken by retention, or with the topic.
Error changed_or(Error error) {
  if (error.sys_errno == ENOENT) error.code = ErrorCode::kRequestTimedOut;
  return error;
}

void drop_files(int directory, int64_t base_offset) {
  for (const std::string_view file_suffix : kCleanedSuffixes) {
    for (const std::string_view state : {suffix::kCleaned, suffix::kSwap}) {
      const std::string name = log_file_name(base_offset, file_suffix) + std::string(state);
      if (const Status removed = remove_file(path_in(directory, name)); !removed.ok()) {
        log(LogLevel::kWarning, "storage", removed.error().message);
      }
    }
  }
}

/// The files have their names: index entries need not be in memory any more.
void leave_entries_to_files(Segment& segment) {
  for (IndexEntries* entries : {&segment.offset_index.entries, &segment.time_index.entries,
                                &segment.transaction_index.entries}) {
    entries->reset(entries->count());
  }
  segment.transactions_synced = segment.transaction_index.entries.count();
}

}  // namespace

Cleanable LogImpl::cleanable(int64_t stable_offset) {
  bool goes_by_time = false;
  {
    MutexLock lock(mutex_);
    goes_by_time = config_.compact && config_.min_compaction_lag_ms > 0;
  }
  if (goes_by_time) see_max_timestamps();
  MutexLock lock(mutex_);
  return find_cleanable(stable_offset);
}

Cleanable LogImpl::find_cleanable(int64_t stable_offset) const {
  Cleanable found;
  if (!config_.compact || cleaning_paused_ || !check_writable().ok()) return found;
  const int64_t now_ms = clock_.wall_ms();
  const int64_t log_start = log_start_offset_.load();
  const int64_t cleaned = cleaned_offset_.load();
  found.first_dirty_offset =
      cleaned < log_start || cleaned > log_end_offset_.load() ? log_start : cleaned;
  int64_t oldest_dirty_ms = INT64_MAX;
  bool within_lag = false;
  found.end_offset = found.first_dirty_offset;
  for (size_t n = 0; n + 1 < segments_.size(); ++n) {
    const Segment& segment = *segments_[n];
    const int64_t next_offset = segments_[n + 1]->base_offset;
    if (segment.base_offset < found.first_dirty_offset) found.clean_bytes += segment.size;
    if (next_offset <= found.first_dirty_offset) continue;
    if (segment.first_timestamp > 0) {
      oldest_dirty_ms = std::min(oldest_dirty_ms, segment.first_timestamp);
    }
    within_lag =
        within_lag || (config_.min_compaction_lag_ms > 0 &&
                       segment.max_timestamp.timestamp > now_ms - config_.min_compaction_lag_ms);
    if (within_lag || next_offset > stable_offset) break;
    found.dirty_bytes += segment.size;
    found.end_offset = next_offset;
  }
  found.overdue = oldest_dirty_ms < now_ms - std::max(config_.max_compaction_lag_ms, int64_t{0});
  found.due = (found.overdue && found.dirty_bytes > 0) ||
              found.dirty_ratio() > config_.min_cleanable_dirty_ratio;
  return found;
}

CleanTask LogImpl::plan_clean(const Cleanable& found) const {
  CleanTask task;
  for (size_t n = 0; n + 1 < segments_.size(); ++n) {
    const SegmentPtr& segment = segments_[n];
    if (segment->base_offset >= found.end_offset) break;
    task.segments.push_back({segment, segment->base_offset, segments_[n + 1]->base_offset,
                             segment->size, segment->offset_index.entries.count(),
                             segment->time_index.entries.count(), path_of(*segment, suffix::kLog)});
  }
  for (const auto& [producer_id, entry] : producers_.producers()) {
    task.last_records[producer_id] = {entry.batch_count > 0 ? entry.last().last_offset : -1,
                                      entry.epoch};
  }
  task.directory = directory_;
  task.first_dirty_offset = found.first_dirty_offset;
  task.log_end_offset = log_end_offset_.load();
  task.now_ms = clock_.wall_ms();
  task.delete_retention_ms = config_.delete_retention_ms;
  task.index_interval_bytes = config_.index_interval_bytes;
  task.segment_bytes = static_cast<uint64_t>(config_.segment_bytes);
  task.segment_index_bytes = static_cast<uint64_t>(config_.segment_index_bytes);
  return task;
}

Result<UniqueFd> LogImpl::open_own_directory() {
  std::string directory;
  {
    MutexLock lock(mutex_);
    directory = directory_;
  }
  BARNABAS_ASSIGN(UniqueFd fd, open_file(directory, O_RDONLY | O_DIRECTORY));
  MutexLock lock(mutex_);
  // Deleted, and perhaps made anew under its name: what was opened may be that one's.
  BARNABAS_TRY(check_writable());
  return fd;
}

Result<CleanStats> LogImpl::clean(int64_t stable_offset, const CleanSettings& settings) {
  MutexLock cleaning(clean_mutex_);
  BARNABAS_ASSIGN(const UniqueFd directory, open_own_directory());
  CleanTask task;
  std::vector<SegmentPtr> segments;
  {
    MutexLock lock(mutex_);
    const Cleanable found = find_cleanable(stable_offset);
    task = plan_clean(found);
    segments = segments_;
    if (found.dirty_bytes == 0) {
      CleanStats nothing;
      nothing.end_offset = found.first_dirty_offset;
      return nothing;
    }
  }
  for (const SegmentPtr& segment : segments) {
    auto added = add_aborted(segment, 0, INT64_MAX, task.aborted);
    if (added.ok()) continue;
    Error error = std::move(added).error();
    MutexLock lock(mutex_);
    // If that is what it was, maintain() rebuilds it.
    if (segment->transactions_damaged) error.code = ErrorCode::kRequestTimedOut;
    return changed_or(std::move(error));
  }
  // What takes the place of records must not be less durable than they are, nor must what shows
  // that they are not needed: a marker, or a producer's later batch, may be anywhere in the log.
  if (recovery_point() < task.log_end_offset) {
    if (auto flushed = flush(); !flushed.ok()) return std::move(flushed).error();
  }
  CleanSettings pausable = settings;
  pausable.pace = [this, &settings](uint64_t bytes) {
    return !cleaning_paused_ && (!settings.pace || settings.pace(bytes));
  };
  Cleaner cleaner(task, pausable, directory.get());
  if (Status built = cleaner.build_map(); !built.ok()) return changed_or(std::move(built).error());
  // What is clean already needs no other pass for nothing.
  if (cleaner.map_end_offset() <= task.first_dirty_offset) return cleaner.stats();
  if (settings.before_swaps) BARNABAS_TRY(settings.before_swaps());
  return clean_groups(cleaner, directory.get(), settings);
}

Result<CleanStats> LogImpl::clean_groups(Cleaner& cleaner, int directory,
                                         const CleanSettings& settings) {
  Status gone;
  for (const auto group : cleaner.groups()) {
    const CleanStats before = cleaner.stats();
    auto cleaned = cleaner.clean(group);
    if (cleaner.sync_failed()) return offline_unless(std::move(cleaned).error()).error();
    if (cleaned.ok() && settings.on_step) settings.on_step(CleanStep::kCleaned);
    Status swapped = cleaned.ok() ? swap_in(group, *cleaned, settings.on_step)
                                  : Status(changed_or(std::move(cleaned).error()));
    if (swapped.ok()) continue;
    // The next start sorts out what is offline: by then the new files may be all there is.
    if (!offline()) drop_files(directory, group.front().base_offset);
    // Later segments must not be cleaned before earlier ones: they may hold the tombstones of what
    // would stay there. What retention has taken is no loss.
    const bool taken = log_start_offset() >= group.back().next_offset;
    if (!taken || swapped.error().code != ErrorCode::kRequestTimedOut) {
      return std::move(swapped).error();
    }
    cleaner.stats() = before;
    cleaner.skip_to(group.back().next_offset);
    gone = std::move(swapped);
  }
  // A pass of which nothing has come says nothing of the log.
  if (cleaner.stats().segments_before == 0) BARNABAS_TRY(std::move(gone));
  return cleaner.stats();
}

bool LogImpl::still_there(std::span<const CleanerSegment> sources, size_t& first) const {
  const auto found = std::find(segments_.begin(), segments_.end(), sources.front().segment);
  first = static_cast<size_t>(found - segments_.begin());
  // The active segment never is one of them, or a truncation has made it that.
  if (first + sources.size() >= segments_.size()) return false;
  for (size_t n = 0; n < sources.size(); ++n) {
    if (segments_[first + n] != sources[n].segment || segments_[first + n]->size != sources[n].size)
      return false;
  }
  return true;
}

Status LogImpl::swap_in(std::span<const CleanerSegment> sources, const CleanedSegment& cleaned,
                        const std::function<void(CleanStep)>& on_step) {
  const std::function<void(CleanStep)> reached = [&on_step](CleanStep step) {
    if (on_step) on_step(step);
  };
  MutexLock flushing(flush_mutex_);
  MutexLock writing(write_mutex_);
  std::string directory;
  size_t first = 0;
  int64_t due_ms = 0;
  {
    MutexLock lock(mutex_);
    BARNABAS_TRY(check_writable());
    if (!config_.compact || !still_there(sources, first)) {
      return Error{ErrorCode::kRequestTimedOut, name_.to_string() + ": changed meanwhile", 0};
    }
    directory = directory_;
    due_ms = saturating_add(clock_.monotonic_ms(), config_.file_delete_delay_ms);
  }
  for (const std::string_view file_suffix : kCleanedSuffixes) {
    const std::string path = log_file_path(directory, cleaned.segment->base_offset, file_suffix);
    BARNABAS_TRY(rename_one(path + std::string(suffix::kCleaned), path + std::string(suffix::kSwap),
                            file_suffix));
    reached(CleanStep::kSwapNamed);
  }
  BARNABAS_TRY(sync_own_names(directory));
  reached(CleanStep::kCommitted);
  {
    MutexLock lock(mutex_);
    cleaned.segment->created_ms = clock_.wall_ms();
    cleaned.segment->file = cleaned.file;
    const auto begin = segments_.begin() + static_cast<ptrdiff_t>(first);
    segments_.erase(begin, begin + static_cast<ptrdiff_t>(sources.size()));
    segments_.insert(segments_.begin() + static_cast<ptrdiff_t>(first), cleaned.segment);
    ++shape_version_;
    names_changed_ = true;
    // Group by group: where segments are missing now, recovery must not take it for a loss.
    cleaned_offset_.store(std::max(cleaned_offset_.load(), cleaned.clean_end));
    for (const CleanerSegment& source : sources.subspan(1)) snapshots_.erase(source.base_offset);
  }
  if (Status renamed = rename_swapped(sources, directory, due_ms, reached); !renamed.ok()) {
    // The next start finishes it; until then readers would not find the file.
    go_offline(renamed.error().message + ", in the swap of a compacted segment");
    return renamed;
  }
  reached(CleanStep::kDone);
  MutexLock lock(mutex_);
  leave_entries_to_files(*cleaned.segment);
  return {};
}

Status LogImpl::rename_swapped(std::span<const CleanerSegment> sources,
                               const std::string& directory, int64_t due_ms,
                               const std::function<void(CleanStep)>& reached) {
  const int64_t base_offset = sources.front().base_offset;
  for (const CleanerSegment& source : sources) {
    for (const std::string_view file_suffix : kFileSuffixes) {
      BARNABAS_TRY(doom(log_file_path(directory, source.base_offset, file_suffix), due_ms));
      reached(CleanStep::kOldRenamed);
    }
    if (source.base_offset != base_offset) {
      BARNABAS_TRY(doom(log_file_path(directory, source.base_offset, suffix::kSnapshot), due_ms));
    }
  }
  for (const std::string_view file_suffix : kFileSuffixes) {
    const std::string path = log_file_path(directory, base_offset, file_suffix);
    BARNABAS_TRY(rename_one(path + std::string(suffix::kSwap), path, file_suffix));
    reached(CleanStep::kNewNamed);
  }
  BARNABAS_TRY(remove_file(log_file_path(directory, base_offset, suffix::kLogChecksum) +
                           std::string(suffix::kSwap)));
  return sync_own_names(directory);
}

Status LogImpl::sync_own_names(const std::string& directory) {
  BARNABAS_ASSIGN(const UniqueFd fd, open_file(directory, O_RDONLY | O_DIRECTORY));
  return offline_unless(sync_file(fd.get(), directory));
}

Status LogImpl::offline_unless(Status synced) {
  if (!synced.ok()) {
    go_offline(synced.error().message);
    health_.load()->fail();
  }
  return synced;
}

}  // namespace barnabas::storage
