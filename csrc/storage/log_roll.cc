// Leaving a segment and starting the next one.
#include <fcntl.h>
#include <unistd.h>

#include "base/logger.h"
#include "storage/checkpoint_file.h"
#include "storage/fd_cache.h"
#include "storage/log_file_name.h"
#include "storage/log_impl.h"
#include "storage/producer_snapshot.h"

namespace barnabas::storage {

Status LogImpl::roll() {
  MutexLock writing(write_mutex_);
  {
    MutexLock lock(mutex_);
    BARNABAS_TRY(check_writable());
    if (segments_.back()->size == 0) return {};
  }
  return roll_segment();
}

Status LogImpl::roll_segment() {
  SegmentPtr old;
  SegmentPtr next = std::make_shared<Segment>(log_end_offset_.load());
  std::string path;
  std::string transactions_path;
  {
    MutexLock lock(mutex_);
    old = segments_.back();
    path = path_of(*next, suffix::kLog);
    transactions_path = path_of(*next, suffix::kTransactionIndex);
  }
  if (old->base_offset == next->base_offset) return {};  // nothing in it yet
  BARNABAS_TRY(cut_remainder());
  // Whatever has this name is left over from a crash: nothing at or above the log end is valid.
  fds_.forget(path);
  BARNABAS_ASSIGN(const UniqueFd created, open_file(path, O_RDWR | O_CREAT | O_TRUNC));
  BARNABAS_TRY(remove_file(transactions_path));
  BARNABAS_TRY(remove_file(transactions_path + std::string(suffix::kChecksum)));
  persist_transactions();
  PendingIndex offsets;
  PendingIndex times;
  {
    MutexLock lock(mutex_);
    old->finish_time_index();
    offsets = pending_entries(old->offset_index.entries, path_of(*old, suffix::kOffsetIndex));
    times = pending_entries(old->time_index.entries, path_of(*old, suffix::kTimeIndex));
  }
  const Status offsets_written = write_pending(offsets);
  const Status times_written = offsets_written.ok() ? write_pending(times) : Status();
  const Status snapshot = take_snapshot();
  for (const Status* status : {&offsets_written, &times_written, &snapshot}) {
    // The new segment is the way on. A snapshot is made up for from the log at the next start.
    if (!status->ok()) log(LogLevel::kWarning, "storage", status->error().message);
  }
  const bool indexed = offsets_written.ok() && times_written.ok();
  if (!indexed) {
    // A short index would be believed after a restart; without one it is rebuilt, there or by
    // maintain().
    for (const std::string& file : {offsets.path, times.path}) {
      if (const Status removed = remove_file(file); !removed.ok()) {
        log(LogLevel::kWarning, "storage", removed.error().message);
      }
    }
  }
  MutexLock lock(mutex_);
  old->offset_index.entries.reset(indexed ? old->offset_index.entries.count() : 0);
  old->time_index.entries.reset(indexed ? old->time_index.entries.count() : 0);
  old->index_damaged |= !indexed;
  ++old->index_files_written;
  next->created_ms = clock_.wall_ms();
  active_base_offset_.store(next->base_offset);
  segments_.push_back(std::move(next));
  recent_.clear();
  names_changed_ = true;
  return {};
}

Status LogImpl::take_snapshot() {
  std::vector<uint8_t> bytes;
  std::string path;
  const int64_t offset = log_end_offset_.load();
  {
    MutexLock lock(mutex_);
    if (offset <= last_snapshot_offset_) return {};
    bytes = encode_producer_snapshot(producers_);
    path = log_file_path(directory_, offset, suffix::kSnapshot);
  }
  // Made durable by the flush that moves the recovery point past it, or by the clean stop.
  BARNABAS_TRY(replace_file(path, bytes, Durability::kLater));
  MutexLock lock(mutex_);
  snapshots_.insert(offset);
  last_snapshot_offset_ = offset;
  names_changed_ = true;
  return {};
}

}  // namespace barnabas::storage
