// What a log knows of transactions: which are open, which were aborted.
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <iterator>

#include "base/logger.h"
#include "storage/fd_cache.h"
#include "storage/index_file_search.h"
#include "storage/log_file_name.h"
#include "storage/log_impl.h"
#include "storage/producer_loader.h"

namespace barnabas::storage {

Result<TransactionEntrance> LogImpl::begin_verification(int64_t producer_id, int16_t epoch,
                                                        int32_t base_sequence, bool transactions_v2,
                                                        std::string_view transactional_id) {
  MutexLock lock(mutex_);
  BARNABAS_TRY(producers_.check_epoch(producer_id, epoch));
  if (producers_.in_transaction(producer_id, epoch)) return TransactionEntrance{};
  return producers_.verifications().begin(producer_id, epoch, base_sequence, transactions_v2,
                                          transactional_id, clock_.wall_ms());
}

void LogImpl::mark_verified(int64_t producer_id, int16_t epoch, std::string_view transactional_id) {
  MutexLock lock(mutex_);
  if (!producers_.check_epoch(producer_id, epoch).ok()) return;
  if (producers_.in_transaction(producer_id, epoch)) return;
  producers_.verifications().mark_verified(producer_id, epoch, transactional_id, clock_.wall_ms());
}

void LogImpl::publish_producer(const record::BatchView& batch) {
  const auto completed = producers_.apply(batch, batch.bytes(), clock_.wall_ms());
  if (!batch.is_transactional()) return;
  if (completed) {
    producers_.await_high_watermark(*completed);
    if (completed->aborted) {
      segments_.back()->transaction_index.append(producers_.aborted(*completed));
      last_abort_offset_.store(completed->last_offset);
    }
  }
  first_unstable_offset_.store(producers_.first_unstable_offset());
}

void LogImpl::advance_high_watermark(int64_t high_watermark) {
  if (first_unstable_offset_.load() >= high_watermark) return;
  MutexLock lock(mutex_);
  producers_.advance_high_watermark(high_watermark);
  first_unstable_offset_.store(producers_.first_unstable_offset());
}

std::vector<ProducerInfo> LogImpl::producers() const {
  MutexLock lock(mutex_);
  return producers_.describe();
}

std::vector<int64_t> LogImpl::last_aborts() const {
  std::vector<int64_t> offsets;
  MutexLock lock(mutex_);
  for (const SegmentPtr& segment : segments_) {
    const TransactionIndex& index = segment->transaction_index;
    if (index.entries.count() > 0) offsets.push_back(index.last_abort_offset);
  }
  return offsets;
}

void LogImpl::persist_transactions() {
  std::vector<std::pair<SegmentPtr, PendingIndex>> pending;
  {
    MutexLock lock(mutex_);
    for (const SegmentPtr& segment : segments_) {
      const IndexEntries& entries = segment->transaction_index.entries;
      if (entries.pending_count() == 0) continue;
      pending.emplace_back(segment,
                           pending_entries(entries, path_of(*segment, suffix::kTransactionIndex)));
    }
  }
  for (const auto& [segment, index] : pending) {
    // A failure is no failure of the append: the entries stay in memory and are tried again.
    const Status written = write_pending(index);
    if (!written.ok()) {
      log(LogLevel::kWarning, "storage", written.error().message);
      continue;
    }
    MutexLock lock(mutex_);
    segment->transaction_index.entries.mark_persisted(index.count);
    names_changed_ = true;
  }
}

std::vector<LogImpl::UnvouchedIndex> LogImpl::unvouched_transactions(size_t count) const {
  std::vector<UnvouchedIndex> unvouched;
  for (size_t n = 0; n < count; ++n) {
    const TransactionIndex& index = segments_[n]->transaction_index;
    // Damaged ones are about to be made anew.
    if (index.vouched || index.entries.count() == 0 || segments_[n]->transactions_damaged) continue;
    unvouched.push_back(
        {segments_[n], path_of(*segments_[n], suffix::kTransactionIndex), index.checksum});
  }
  return unvouched;
}

Status LogImpl::write_transaction_checksums(const std::vector<UnvouchedIndex>& unvouched) {
  for (const UnvouchedIndex& index : unvouched) {
    BARNABAS_TRY(write_checksums(index.path, {index.checksum}, Durability::kLater));
  }
  return {};
}

Status LogImpl::truncate_transactions(const SegmentPtr& segment, int64_t end_offset) {
  std::string path;
  uint32_t in_file = 0;
  TransactionIndex kept;
  std::optional<WrittenTransactions> written;
  std::vector<AbortedTransaction> entries;
  {
    MutexLock lock(mutex_);
    if (segment->transaction_index.entries.count() == 0) return {};
    path = path_of(*segment, suffix::kTransactionIndex);
    in_file = segment->transaction_index.file_entries_for(0);
    entries = segment->transaction_index.tail_from(0);
    written.emplace(segment->transaction_index);
  }
  if (in_file > 0) {
    BARNABAS_ASSIGN(const SharedFd file, fds_.open(path));
    const auto older = find_aborted(file->get(), path, *written, in_file, 0, INT64_MAX);
    if (!older.ok()) {
      MutexLock lock(mutex_);
      segment->transactions_damaged = true;  // what is rebuilt knows nothing of what was cut
      transactions_damaged_ = true;
      return {};
    }
    entries.insert(entries.begin(), older->begin(), older->end());
  }
  for (const AbortedTransaction& aborted : entries) {
    if (aborted.last_offset < end_offset) kept.append(aborted);
  }
  fds_.forget(path);
  BARNABAS_TRY(persist_transaction_index(kept, path));
  MutexLock lock(mutex_);
  segment->transaction_index = std::move(kept);
  segment->transactions_synced = 0;
  return {};
}

Status LogImpl::rebuild_transactions(const SegmentPtr& segment) {
  // Under the locks that appends and flushes need: it happens to files that something else damaged.
  MutexLock flushing(flush_mutex_);
  MutexLock writing(write_mutex_);
  std::string directory;
  std::string path;
  std::vector<SegmentPtr> segments;
  std::set<int64_t> snapshots;
  {
    MutexLock lock(mutex_);
    if (std::find(segments_.begin(), segments_.end(), segment) == segments_.end()) return {};
    directory = directory_;
    path = path_of(*segment, suffix::kTransactionIndex);
    segments = segments_;
    snapshots = snapshots_;
  }
  ProducerLoader loader(directory, fds_, segments, snapshots, clock_.wall_ms());
  BARNABAS_ASSIGN(TransactionIndex rebuilt, loader.rebuild_transactions(*segment));
  fds_.forget(path);
  BARNABAS_TRY(persist_transaction_index(rebuilt, path));
  MutexLock lock(mutex_);
  snapshots_ = std::move(snapshots);
  segment->transaction_index = std::move(rebuilt);
  segment->transactions_synced = 0;
  segment->transactions_damaged = false;
  names_changed_ = true;
  return {};
}

Result<CommittedSlice> LogImpl::read_committed(int64_t offset, uint64_t max_bytes,
                                               int64_t end_offset, bool at_least_one) {
  return retried([&] { return try_read_committed(offset, max_bytes, end_offset, at_least_one); });
}

Result<CommittedSlice> LogImpl::try_read_committed(int64_t offset, uint64_t max_bytes,
                                                   int64_t end_offset, bool at_least_one) {
  const uint64_t version = shape_version_;
  CommittedSlice found;
  BARNABAS_ASSIGN(static_cast<ReadSlice&>(found),
                  try_read(offset, max_bytes, end_offset, at_least_one));
  if (found.file.length == 0 || offset > last_abort_offset_.load()) return found;
  BARNABAS_ASSIGN(found.aborted, find_aborted_in(found, offset, end_offset));
  // Also at the last try: rather nothing than aborted records that pass for good ones.
  if (shape_version_ == version) return found;
  return Error{ErrorCode::kKafkaStorageError,
               name_.to_string() + ": changed again and again while it was read", 0};
}

Result<std::vector<AbortedTransaction>> LogImpl::find_aborted_in(const ReadSlice& slice,
                                                                 int64_t offset,
                                                                 int64_t end_offset) {
  std::vector<AbortedTransaction> found;
  SegmentPtr segment;
  {
    MutexLock lock(mutex_);
    segment = segment_for(slice.first_batch_offset);
  }
  BARNABAS_ASSIGN(const int64_t above,
                  offset_above(segment, slice.file.position + slice.file.length));
  const int64_t upper_bound = std::min(end_offset, above);
  // A transaction with records in the slice may have ended in any segment that follows.
  while (segment != nullptr) {
    BARNABAS_ASSIGN(const bool complete, add_aborted(segment, offset, upper_bound, found));
    if (complete) break;
    MutexLock lock(mutex_);
    segment = segment_after(*segment);
  }
  return found;
}

Result<bool> LogImpl::add_aborted(const SegmentPtr& segment, int64_t offset, int64_t upper_bound,
                                  std::vector<AbortedTransaction>& found) {
  std::string path;
  uint32_t in_file = 0;
  std::optional<WrittenTransactions> written;
  std::vector<AbortedTransaction> entries;
  {
    MutexLock lock(mutex_);
    const TransactionIndex& index = segment->transaction_index;
    if (index.entries.count() == 0 && !segment->transactions_damaged) return false;
    path = path_of(*segment, suffix::kTransactionIndex);
    in_file = index.file_entries_for(offset);
    if (in_file > 0) written.emplace(index);
    entries = index.tail_from(offset);
    if (segment->transactions_damaged) {
      return Error{ErrorCode::kKafkaStorageError, path + ": damaged, and not rebuilt yet", 0};
    }
  }
  if (in_file > 0) {
    const auto file = fds_.open(path);
    const auto older =
        file.ok() ? find_aborted((*file)->get(), path, *written, in_file, offset, upper_bound)
                  : Result<std::vector<AbortedTransaction>>(file.error());
    if (!older.ok()) {
      // What could not be opened may be as it was, unless it alone has gone.
      const bool gone =
          older.error().sys_errno == ENOENT && ::access(parent_of(path).c_str(), F_OK) == 0;
      if (file.ok() || gone) note_damaged_transactions(segment, written->checksum, older.error());
      return older.error();
    }
    entries.insert(entries.begin(), older->begin(), older->end());
  }
  for (const AbortedTransaction& aborted : entries) {
    if (aborted.first_offset < upper_bound) found.push_back(aborted);
    if (aborted.last_stable_offset >= upper_bound) return true;
  }
  return false;
}

void LogImpl::note_damaged_transactions(const SegmentPtr& segment, const Checksum& expected,
                                        const Error& error) {
  MutexLock lock(mutex_);
  // Or it has been made anew since, or replaced.
  if (segment->transaction_index.checksum != expected || segment->transactions_damaged ||
      std::ranges::find(segments_, segment) == segments_.end()) {
    return;
  }
  segment->transactions_damaged = true;
  transactions_damaged_ = true;
  log(LogLevel::kError, "storage", error.message + "; it is about to be rebuilt");
}

void LogImpl::rebuild_transactions() {
  if (!transactions_damaged_.exchange(false)) return;
  std::vector<SegmentPtr> damaged;
  {
    MutexLock lock(mutex_);
    if (!check_writable().ok()) return;
    std::ranges::copy_if(segments_, std::back_inserter(damaged),
                         [](const SegmentPtr& one) { return one->transactions_damaged; });
  }
  for (const SegmentPtr& segment : damaged) {
    const Status rebuilt = rebuild_transactions(segment);
    if (!rebuilt.ok()) log(LogLevel::kWarning, "storage", rebuilt.error().message);
  }
}

Result<int64_t> LogImpl::offset_above(const SegmentPtr& segment, uint64_t position) {
  const OffsetIndex& index = segment->offset_index;
  int64_t above_file = 0;  // when the file's entries all lie before the position
  int64_t above_all = 0;
  uint64_t size = 0;
  uint32_t in_file = 0;
  uint64_t version = 0;
  {
    MutexLock lock(mutex_);
    version = shape_version_;
    above_all = segment->next_offset;
    size = segment->size;
    if (position >= size || segment->index_damaged) return above_all;
    const uint32_t before = index.entries.count_in_tail_where(
        [&](const uint8_t* entry) { return index.decode(entry).position < position; });
    above_file = before < index.entries.tail_count()
                     ? index.decode(index.entries.tail_entry(before)).offset
                     : above_all;
    in_file = index.entries.count() - index.entries.tail_count();
    if (before > 0 || in_file == 0) return above_file;
  }
  std::string log_path;
  BARNABAS_ASSIGN(const SharedFd log_file, open_log_file(segment, &log_path));
  const std::string path = index_path_of(log_path, suffix::kOffsetIndex);
  BARNABAS_ASSIGN(const SharedFd file, fds_.open(path));
  BARNABAS_ASSIGN(const uint32_t number, first_entry_where<kOffsetEntryBytes>(
                                             file->get(), path, in_file, [&](const uint8_t* entry) {
                                               return index.decode(entry).position >= position;
                                             }));
  if (number == in_file) return above_file;
  std::array<uint8_t, kOffsetEntryBytes> bytes{};
  BARNABAS_ASSIGN(const size_t got, read_at(file->get(), bytes, number * sizeof(bytes), path));
  if (got < sizeof(bytes)) return above_all;
  const OffsetPosition entry = index.decode(bytes.data());
  if (is_in_log(entry, log_file->get(), log_path, size)) return entry.offset;
  note_damaged_index(segment, version, path);
  return above_all;
}

void LogImpl::note_damaged_index(const SegmentPtr& segment, uint64_t version,
                                 const std::string& path, const std::string& reason) {
  {
    MutexLock lock(mutex_);
    if (version != shape_version_ || std::ranges::find(segments_, segment) == segments_.end()) {
      return;
    }
    segment->index_damaged = true;
  }
  if (read_only_) return;
  log(LogLevel::kWarning, "storage",
      path + ": damaged" + (reason.empty() ? "" : " (" + reason + ")") +
          ", reading without it until it is rebuilt");
}

}  // namespace barnabas::storage
