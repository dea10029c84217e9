// Making a log durable.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "storage/checkpoint_file.h"
#include "storage/fd_cache.h"
#include "storage/log_file_name.h"
#include "storage/log_impl.h"
#include "storage/sync_result.h"

namespace barnabas::storage {
namespace {

/// fsyncs a file that may not be there.
SyncResult sync_file_if_exists(const std::string& path) {
  auto fd = open_file(path, O_RDONLY);
  if (fd.ok()) return synced(sync_data(fd->get(), path));
  if (fd.error().sys_errno == ENOENT) return {};
  return {std::move(fd).error(), false};
}

SyncResult sync_names(const std::string& directory) {
  auto fd = open_file(directory, O_RDONLY | O_DIRECTORY);
  if (!fd.ok()) return {std::move(fd).error(), false};
  return synced(sync_file(fd->get(), directory));
}

}  // namespace

Result<int64_t> LogImpl::flush() {
  MutexLock flushing(flush_mutex_);
  BARNABAS_TRY(write_late_transactions());
  FlushPlan plan;
  {
    MutexLock lock(mutex_);
    if (offline() || read_only_) return check_writable().error();
    plan.end_offset = log_end_offset_.load();
    if (plan.end_offset == recovery_point_.load() && !names_changed_ && !epochs_changed_) {
      last_flush_ms_ = clock_.monotonic_ms();
      return plan.end_offset;
    }
    plan = plan_flush();
    // From here on a change is the next flush's business.
    epochs_changed_ = names_changed_ = directory_is_new_ = false;
  }
  bool fsync_failed = false;
  const Status done = sync(plan, fsync_failed);
  if (fsync_failed) {
    go_offline(done.error().message);
    health_.load()->fail();
  }
  MutexLock lock(mutex_);
  if (!done.ok()) {
    epochs_changed_ |= plan.epoch_lines.has_value();
    names_changed_ |= plan.names_changed;
    directory_is_new_ |= plan.directory_is_new;
    return done.error();
  }
  recovery_point_.store(plan.end_offset);
  for (const auto& [segment, entries] : plan.transactions) segment->transactions_synced = entries;
  for (const UnvouchedIndex& index : plan.unvouched)
    index.segment->transaction_index.vouched = true;
  for (const auto& [segment, written] : plan.indexes) segment->index_files_synced = written;
  last_flush_ms_ = clock_.monotonic_ms();
  return plan.end_offset;
}

Status LogImpl::write_late_transactions() {
  const auto pending = [this] {
    MutexLock lock(mutex_);
    return std::any_of(segments_.begin(), segments_.end(), [](const SegmentPtr& segment) {
      return segment->transaction_index.entries.pending_count() > 0;
    });
  };
  if (read_only_ || !pending()) return {};
  MutexLock writing(write_mutex_);
  persist_transactions();
  if (!pending()) return {};
  // Behind the recovery point nobody would look for them in the log again.
  return Error{ErrorCode::kKafkaStorageError,
               name_.to_string() + ": a transaction index could not be written", 0};
}

LogImpl::FlushPlan LogImpl::plan_flush() const {
  FlushPlan plan;
  plan.end_offset = log_end_offset_.load();
  plan.directory = directory_;
  for (const SegmentPtr& segment : segments_) {
    if (segment->size == 0) continue;
    const bool dirty = segment->next_offset > recovery_point_.load();
    if (dirty) plan.segments.push_back(segment);
    const uint32_t aborted = segment->transaction_index.entries.persisted();
    if (dirty && aborted > segment->transactions_synced) {
      plan.transactions.emplace_back(segment, aborted);
      plan.side_files.push_back(path_of(*segment, suffix::kTransactionIndex));
    }
    if (segment == segments_.back()) break;
    // Those of a segment that was left when all in it was durable already are not, yet.
    const uint32_t written = segment->index_files_written;
    if (!dirty && written == segment->index_files_synced) continue;
    plan.indexes.emplace_back(segment, written);
    for (const std::string_view file_suffix : {suffix::kOffsetIndex, suffix::kTimeIndex}) {
      plan.side_files.push_back(path_of(*segment, file_suffix));
    }
  }
  for (auto it = snapshots_.lower_bound(recovery_point_.load()); it != snapshots_.end(); ++it) {
    plan.side_files.push_back(log_file_path(directory_, *it, suffix::kSnapshot));
  }
  plan.unvouched = unvouched_transactions(segments_.size() - 1);
  for (const UnvouchedIndex& index : plan.unvouched) {
    plan.side_files.push_back(index.path);
    plan.side_files.push_back(index.path + std::string(suffix::kChecksum));
  }
  if (epochs_changed_) plan.epoch_lines = epochs_.to_lines();
  plan.names_changed = names_changed_;
  plan.directory_is_new = directory_is_new_;
  return plan;
}

Status LogImpl::sync(const FlushPlan& plan, bool& fsync_failed) {
  const auto note = [&fsync_failed](SyncResult result) {
    fsync_failed = result.fsync_failed;
    return std::move(result.status);
  };
  for (const SegmentPtr& segment : plan.segments) {
    std::string path;
    BARNABAS_ASSIGN(const SharedFd file, open_log_file(segment, &path));
    BARNABAS_TRY(note(synced(sync_data(file->get(), path))));
  }
  BARNABAS_TRY(write_transaction_checksums(plan.unvouched));
  for (const std::string& path : plan.side_files) BARNABAS_TRY(note(sync_file_if_exists(path)));
  // Epochs below the recovery point are never read back from batches, so they must be there first.
  if (plan.epoch_lines) {
    const std::string path = plan.directory + "/" + std::string(kLeaderEpochCheckpointName);
    BARNABAS_TRY(note(replace_synced(path, as_bytes(checkpoint_text(*plan.epoch_lines)))));
  }
  BARNABAS_TRY(note(sync_names(plan.directory)));
  if (plan.directory_is_new) BARNABAS_TRY(note(sync_names(parent_of(plan.directory))));
  return {};
}

Status LogImpl::close() {
  {
    MutexLock lock(mutex_);
    if (closed_) return {};
  }
  const auto flushed = flush();
  if (!flushed.ok()) return flushed.error();
  MutexLock writing(write_mutex_);
  BARNABAS_TRY(cut_remainder());
  SegmentPtr active;
  PendingIndex offsets;
  PendingIndex times;
  bool empty = false;
  {
    MutexLock lock(mutex_);
    active = segments_.back();
    empty = active->size == 0;
    active->finish_time_index();
    offsets = pending_entries(active->offset_index.entries, path_of(*active, suffix::kOffsetIndex));
    times = pending_entries(active->time_index.entries, path_of(*active, suffix::kTimeIndex));
  }
  if (!empty) {
    BARNABAS_TRY(write_pending(offsets));
    BARNABAS_TRY(write_pending(times));
  }
  persist_transactions();
  std::vector<UnvouchedIndex> unvouched;
  {
    MutexLock lock(mutex_);
    unvouched = unvouched_transactions(segments_.size());
  }
  BARNABAS_TRY(write_transaction_checksums(unvouched));
  BARNABAS_TRY(take_snapshot());
  {
    MutexLock lock(mutex_);
    active->offset_index.entries.mark_persisted(offsets.count);
    active->time_index.entries.mark_persisted(times.count);
    closed_ = true;
  }
  forget_files();
  return {};
}

}  // namespace barnabas::storage
