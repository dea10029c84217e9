// Moving a log to another log directory: a copy is filled while the log is in use, then its files
// become the log's.
//
// The names change so that at every moment one of the two directories is whole and known to be:
//   1. the copy is complete and durable, with its epochs, its producers' snapshot, and what
//      `about_to` notes of it in its directory's checkpoints
//   2. the old directory is renamed to `…-delete`, durably. A `-future` directory without another
//      of its partition is whole: a start that finds one gives it the name
//   3. the copy's directory gets the partition's name
// Readers find the copy from before step 2 on; those that have found something in the old files
// keep them open.
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "base/fd.h"
#include "base/logger.h"
#include "record/batch.h"
#include "storage/batch_reader.h"
#include "storage/checkpoint_file.h"
#include "storage/fd_cache.h"
#include "storage/log_file_name.h"
#include "storage/log_impl.h"
#include "storage/producer_snapshot.h"
#include "storage/sync_result.h"

namespace barnabas::storage {
namespace {

constexpr uint64_t kLastChunkBytes = 1 << 20;
// How far a copy is held against its log. All that it has there and the log has lost would have to
// have been written anew, each batch at its old offset, to look alike.
constexpr int64_t kComparedOffsets = 10'000;

/// Of the batch that holds `offset`; empty when there is none.
Result<std::vector<uint8_t>> header_at(Log& log, int64_t offset) {
  BARNABAS_ASSIGN(const CopySlice slice, log.read_to_copy(offset));
  std::vector<uint8_t> header(slice.file.length == 0 ? 0 : record::kBatchHeaderSize);
  if (header.empty()) return header;
  BARNABAS_ASSIGN(const size_t got,
                  read_at(slice.file.file->get(), header, slice.file.position, slice.path));
  header.resize(got);
  return header;
}

}  // namespace

Result<bool> may_go_on(Log& log, Log& copy) {
  const int64_t end = copy.log_end_offset();
  if (end > log.log_end_offset()) return false;
  if (copy.log_start_offset() > log.log_start_offset() || end < log.log_start_offset())
    return false;
  int64_t offset = std::max(copy.log_start_offset(), end - kComparedOffsets);
  while (offset < end) {
    BARNABAS_ASSIGN(const auto own, header_at(copy, offset));
    if (own.empty()) break;
    BARNABAS_ASSIGN(const auto of_log, header_at(log, offset));
    if (own != of_log) return false;
    offset = record::BatchView(own).next_offset();
  }
  return true;
}

Result<uint64_t> copy_batches(Log& log, Log& copy, uint64_t max_bytes) {
  const int64_t offset = copy.log_end_offset();
  BARNABAS_ASSIGN(const CopySlice slice, log.read_to_copy(offset));
  const bool empty = slice.file.length == 0;
  if ((empty || slice.first_batch_offset > offset) && log.log_start_offset() > offset) {
    return Error{ErrorCode::kOffsetOutOfRange,
                 log.directory() + ": begins at " + std::to_string(log.log_start_offset()) +
                     " now, above the end of its copy",
                 0};
  }
  if (empty) return uint64_t{0};
  std::vector<uint8_t> bytes;
  const uint64_t begin = slice.file.position;
  BatchReader reader(slice.file.file->get(), slice.path, begin, begin + slice.file.length,
                     static_cast<size_t>(std::min(max_bytes, slice.file.length)),
                     OffsetOrder(slice.bounds, offset));
  while (reader.position() == begin || reader.position() - begin < max_bytes) {
    BARNABAS_ASSIGN(const auto batch, reader.next());
    if (!batch) break;
    const ByteView whole = batch->view.bytes();
    if (!bytes.empty() && bytes.size() + whole.size() > max_bytes) break;
    bytes.insert(bytes.end(), whole.begin(), whole.end());
  }
  BARNABAS_TRY(copy.append_as_follower(bytes));
  return uint64_t{bytes.size()};
}

Result<CopySlice> LogImpl::read_to_copy(int64_t offset) {
  return retried([&] { return try_read_to_copy(offset); });
}

Result<CopySlice> LogImpl::try_read_to_copy(int64_t offset) {
  CopySlice slice;
  ReadPlan plan;
  {
    MutexLock lock(mutex_);
    if (offset >= log_end_offset_.load()) return slice;
    plan = plan_read(segment_for(offset), offset, INT64_MAX);
  }
  for (;;) {
    BARNABAS_ASSIGN(const auto start, find_certainly(plan.first));
    if (start) {
      if (!plan.file) {
        BARNABAS_ASSIGN(plan.file, open_log_file(plan.first.segment));
      }
      slice.file = {std::move(plan.file), start->position, plan.first.size - start->position};
      slice.first_batch_offset = start->base_offset;
      slice.first_batch_bytes = start->bytes;
      slice.path = std::move(plan.path);
      slice.bounds = {plan.first.segment->base_offset, plan.first.next_offset};
      return slice;
    }
    // Compaction may have left nothing of a segment from the offset on.
    MutexLock lock(mutex_);
    const SegmentPtr next = segment_after(*plan.first.segment);
    if (!next) return slice;
    plan = plan_read(next, offset, INT64_MAX);
  }
}

void LogImpl::pause_cleaning(bool paused) {
  cleaning_paused_ = paused;
  const MutexLock cleaning(clean_mutex_);  // one that began before is over
}

Result<std::string> LogImpl::move_to(Log& copy_log, const std::function<Status()>& about_to) {
  auto& copy = static_cast<LogImpl&>(copy_log);
  MutexLock cleaning(clean_mutex_);
  MutexLock flushing(flush_mutex_);
  MutexLock writing(write_mutex_);
  std::string old_directory;
  {
    MutexLock lock(mutex_);
    BARNABAS_TRY(check_writable());
    old_directory = directory_;
  }
  BARNABAS_TRY(complete(copy));
  BARNABAS_TRY(about_to());
  const std::string parent = parent_of(old_directory);
  const std::string doomed = parent + "/" + unique_name(name_, kDeleteSuffix);
  exchange_files(copy);
  Status moved = rename_file(old_directory, doomed);
  const bool renamed = moved.ok();
  if (renamed) {
    moved = sync_directory(parent);
    if (!moved.ok()) copy.health_.load()->fail();
  }
  if (moved.ok()) moved = take_name();
  if (!moved.ok()) {
    const Status back = renamed ? rename_file(doomed, old_directory) : Status();
    if (back.ok()) {
      exchange_files(copy);
    } else {
      // The copy is all there is now, and the next start gives it the name.
      go_offline(moved.error().message + "; going back: " + back.error().message);
    }
    return moved.error();
  }
  {
    MutexLock lock(copy.mutex_);
    copy.closed_ = true;
  }
  copy.forget_files();
  if (const Status synced = sync_directory(parent_of(directory())); !synced.ok()) {
    go_offline(synced.error().message);
    health_.load()->fail();
  }
  return doomed;
}

Status LogImpl::complete(LogImpl& copy) {
  BARNABAS_TRY(
      copy.advance_log_start_offset(std::min(log_start_offset_.load(), copy.log_end_offset())));
  for (;;) {
    BARNABAS_ASSIGN(const uint64_t bytes, copy_batches(*this, copy, kLastChunkBytes));
    if (bytes == 0) break;
  }
  if (copy.log_end_offset() != log_end_offset_.load()) {
    return Error{ErrorCode::kKafkaStorageError,
                 name_.to_string() + ": the copy ends at " + std::to_string(copy.log_end_offset()) +
                     ", the log at " + std::to_string(log_end_offset_.load()),
                 0};
  }
  // A new segment: a snapshot in the middle of one would be that of a clean stop.
  BARNABAS_TRY(copy.roll());
  const int64_t end_offset = log_end_offset_.load();
  std::vector<uint8_t> producers;
  LeaderEpochCache epochs;
  {
    MutexLock lock(mutex_);
    producers = encode_producer_snapshot(producers_);
    epochs = epochs_;
  }
  SyncResult written =
      replace_synced(log_file_path(copy.directory(), end_offset, suffix::kSnapshot), producers);
  if (written.fsync_failed) return copy.offline_unless(std::move(written.status));
  BARNABAS_TRY(std::move(written.status));
  {
    MutexLock lock(copy.mutex_);
    copy.snapshots_.insert(end_offset);
    copy.last_snapshot_offset_ = end_offset;
    copy.epochs_ = std::move(epochs);
    copy.epochs_changed_ = copy.names_changed_ = true;
  }
  BARNABAS_ASSIGN(const int64_t durable, copy.flush());
  if (durable == end_offset) return {};
  return Error{ErrorCode::kKafkaStorageError, name_.to_string() + ": the copy is not durable", 0};
}

void LogImpl::exchange_files(LogImpl& other) {
  const MutexLock other_writing(other.write_mutex_);
  doomed_.swap(other.doomed_);
  const int64_t due_ms = next_due_ms_.load();
  next_due_ms_.store(other.next_due_ms_.load());
  other.next_due_ms_.store(due_ms);
  MutexLock lock(mutex_);
  MutexLock other_lock(other.mutex_);
  ++shape_version_;
  segments_.swap(other.segments_);
  directory_.swap(other.directory_);
  snapshots_.swap(other.snapshots_);
  std::swap(last_snapshot_offset_, other.last_snapshot_offset_);
  std::swap(names_changed_, other.names_changed_);
  std::swap(directory_is_new_, other.directory_is_new_);
  const int64_t recovery_point = recovery_point_.load();
  recovery_point_.store(other.recovery_point_.load());
  other.recovery_point_.store(recovery_point);
  recent_.clear();
  active_base_offset_.store(segments_.back()->base_offset);
  DirectoryHealth* const health = health_.load();
  health_.store(other.health_.load());
  other.health_.store(health);
  // Both keep both.
  healths_.insert(healths_.end(), other.healths_.begin(), other.healths_.end());
  other.healths_ = healths_;
}

Status LogImpl::take_name() {
  const auto renamed = [](const std::string& path, const std::string& directory) {
    return directory + path.substr(path.rfind('/'));
  };
  std::vector<std::string> old_paths;
  std::string old_directory;
  std::string home;
  {
    MutexLock lock(mutex_);
    for (const SegmentPtr& segment : segments_) {
      for (const std::string_view file_suffix :
           {suffix::kLog, suffix::kOffsetIndex, suffix::kTimeIndex, suffix::kTransactionIndex}) {
        old_paths.push_back(path_of(*segment, file_suffix));
      }
    }
    old_directory = directory_;
    home = parent_of(directory_) + "/" + name_.to_string();
    next_directory_ = home;
  }
  // Not under the lock that readers take, as it may wait for the disk: see follow_rename().
  Status taken = rename_file(old_directory, home);
  {
    MutexLock lock(mutex_);
    if (taken.ok()) enter_next_directory();
    next_directory_.clear();
  }
  if (!taken.ok()) return taken;
  for (DoomedFile& file : doomed_) file.path = renamed(file.path, home);
  for (const std::string& path : old_paths) fds_.forget(path);
  return {};
}

void LogImpl::enter_next_directory() {
  if (next_directory_.empty()) return;
  directory_ = std::exchange(next_directory_, {});
  ++shape_version_;
}

bool LogImpl::follow_rename(const Error& error) {
  if (error.sys_errno != ENOENT) return false;
  std::string old_directory;
  {
    MutexLock lock(mutex_);
    if (next_directory_.empty()) return false;
    old_directory = directory_;
  }
  // Nothing but that rename takes the name away, and it is not undone.
  if (::access(old_directory.c_str(), F_OK) == 0) return false;
  MutexLock lock(mutex_);
  if (directory_ == old_directory) enter_next_directory();
  return true;
}

}  // namespace barnabas::storage
