#include "storage/cleaner.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "record/record.h"
#include "storage/batch_reader.h"
#include "storage/log_file_name.h"
#include "storage/stored_records.h"

namespace barnabas::storage {
namespace {

constexpr uint64_t kPaceBytes = 64u << 10;  // between two looks at the rate

Error in_batch(const Error& error, const CleanerSegment& source, uint64_t position) {
  if (error.code == ErrorCode::kKafkaStorageError) return error;
  return Error{ErrorCode::kCorruptMessage,
               source.path + ": " + error.message + " at byte " + std::to_string(position), 0};
}

OffsetOrder order_of(const CleanerSegment& source) {
  return OffsetOrder({.base_offset = source.base_offset, .end_offset = source.next_offset});
}

}  // namespace

/// The files of one new segment.
class Cleaner::Output {
 public:
  Output(int directory, const CleanTask& task, int64_t base_offset, size_t buffer_bytes)
      : directory_(directory),
        task_(task),
        segment_(std::make_shared<Segment>(base_offset)),
        buffer_bytes_(buffer_bytes) {
    buffer_.reserve(buffer_bytes);
  }

  Status open() {
    BARNABAS_ASSIGN(UniqueFd fd, create(suffix::kLog));
    file_ = std::make_shared<const UniqueFd>(std::move(fd));
    return {};
  }
  Status add(ByteView batch) {
    if (segment_->size + batch.size() > INT32_MAX) {
      return Error{ErrorCode::kKafkaStorageError, name(suffix::kLog) + ": would be too large", 0};
    }
    segment_->add_batch(record::BatchView(batch), static_cast<int32_t>(task_.index_interval_bytes));
    checksum_ = extended(checksum_, batch);
    buffer_.insert(buffer_.end(), batch.begin(), batch.end());
    return buffer_.size() >= buffer_bytes_ ? drain() : Status();
  }
  /// Everything is on the disk at return.
  Result<CleanedSegment> finish(int64_t next_offset, const std::vector<AbortedTransaction>& aborted,
                                const timespec& modified) {
    BARNABAS_TRY(drain());
    segment_->finish_time_index();
    segment_->next_offset = next_offset;
    const timespec times[] = {modified, modified};
    ::futimens(file_->get(), times);  // what it was made from is as old as it was
    BARNABAS_TRY(sync(file_->get(), suffix::kLog));
    BARNABAS_TRY(write_side(suffix::kLogChecksum, as_bytes(checksum_text({checksum_}))));
    BARNABAS_TRY(write_side(suffix::kOffsetIndex, segment_->offset_index.entries.pending()));
    BARNABAS_TRY(write_side(suffix::kTimeIndex, segment_->time_index.entries.pending()));
    for (const AbortedTransaction& each : aborted) segment_->transaction_index.append(each);
    if (!aborted.empty()) {
      TransactionIndex& index = segment_->transaction_index;
      BARNABAS_TRY(write_side(suffix::kTransactionIndex, index.entries.pending()));
      BARNABAS_TRY(
          write_side(suffix::kTransactionChecksum, as_bytes(checksum_text({index.checksum}))));
      index.vouched = true;
    }
    return CleanedSegment{segment_, file_, 0};
  }
  [[nodiscard]] uint64_t size() const { return segment_->size; }
  [[nodiscard]] bool sync_failed() const { return sync_failed_; }

 private:
  [[nodiscard]] std::string name(std::string_view file_suffix) const {
    return log_file_name(segment_->base_offset, file_suffix) + std::string(suffix::kCleaned);
  }
  Result<UniqueFd> create(std::string_view file_suffix) {
    const std::string file_name = name(file_suffix);
    return open_file(path_in(directory_, file_name), O_RDWR | O_CREAT | O_TRUNC);
  }
  Status drain() {
    BARNABAS_TRY(write_all_at(file_->get(), buffer_, written_, name(suffix::kLog)));
    written_ += buffer_.size();
    buffer_.clear();
    return {};
  }
  Status write_side(std::string_view file_suffix, ByteView content) {
    BARNABAS_ASSIGN(const UniqueFd fd, create(file_suffix));
    BARNABAS_TRY(write_all_at(fd.get(), content, 0, name(file_suffix)));
    return sync(fd.get(), file_suffix);
  }
  Status sync(int fd, std::string_view file_suffix) {
    Status synced = sync_data(fd, task_.directory + "/" + name(file_suffix));
    sync_failed_ = sync_failed_ || !synced.ok();
    return synced;
  }

  const int directory_;
  const CleanTask& task_;
  const std::shared_ptr<Segment> segment_;
  const size_t buffer_bytes_;
  SharedFd file_;
  std::vector<uint8_t> buffer_;
  Checksum checksum_;  // of all batches
  uint64_t written_ = 0;
  bool sync_failed_ = false;
};

Cleaner::Cleaner(const CleanTask& task, const CleanSettings& settings, int directory)
    : task_(task),
      settings_(settings),
      directory_(directory),
      map_(settings.dedupe_buffer_bytes, settings.dedupe_load_factor),
      map_end_offset_(task.first_dirty_offset),
      transactions_(task.aborted),
      rules_{map_, 0, task.last_records, task.now_ms, task.delete_retention_ms},
      filter_(rules_, transactions_) {}

Status Cleaner::pace(uint64_t bytes) {
  unpaced_bytes_ += bytes;
  if (unpaced_bytes_ < kPaceBytes || !settings_.pace) return {};
  if (!settings_.pace(std::exchange(unpaced_bytes_, 0))) {
    return Error{ErrorCode::kRequestTimedOut, task_.directory + ": compaction was stopped", 0};
  }
  return {};
}

Status Cleaner::build_map() {
  // The walk begins at the dirty part. What was aborted before that has no marker in it, and what
  // its producer wrote since would pass for aborted.
  std::vector<AbortedTransaction> aborted = task_.aborted;
  std::erase_if(aborted, [this](const AbortedTransaction& each) {
    return each.last_offset < task_.first_dirty_offset;
  });
  CleanedTransactions transactions(aborted);
  for (const CleanerSegment& source : task_.segments) {
    if (source.next_offset <= task_.first_dirty_offset) continue;
    BARNABAS_ASSIGN(const bool full, map_segment(source, transactions));
    if (full) break;
    map_end_offset_ = std::max(map_end_offset_, source.next_offset);
  }
  rules_.map_end_offset = map_end_offset_;
  stats_.end_offset = map_end_offset_;
  stats_.keys = map_.size();
  stats_.map_bytes = map_.memory_bytes();
  return {};
}

Result<bool> Cleaner::map_segment(const CleanerSegment& source, CleanedTransactions& transactions) {
  BARNABAS_ASSIGN(const UniqueFd fd, open_file(source.path, O_RDONLY));
  BatchReader reader(fd.get(), source.path, 0, source.size, settings_.io_buffer_bytes,
                     order_of(source));
  while (true) {
    BARNABAS_ASSIGN(const auto batch, reader.next());
    if (!batch) return false;
    const record::BatchView& view = batch->view;
    BARNABAS_TRY(pace(view.size_bytes()));
    // Records of aborted transactions say nothing of their keys.
    const bool dispensable = transactions.is_dispensable(view);
    if (view.last_offset() < task_.first_dirty_offset) continue;
    if (!view.is_control() && !dispensable) {
      const auto mapped = map_batch(view);
      if (!mapped.ok()) return in_batch(mapped.error(), source, batch->position);
      if (!*mapped) return true;
    }
    map_end_offset_ = view.next_offset();
  }
}

Result<bool> Cleaner::map_batch(const record::BatchView& batch) {
  BARNABAS_ASSIGN(const ByteView records, stored_records(batch, expanded_));
  record::RecordReader reader(records, batch.record_count());
  while (true) {
    BARNABAS_ASSIGN(const auto record, reader.next());
    if (!record) return true;
    const int64_t offset = batch.base_offset() + record->offset_delta;
    if (!record->key || offset < task_.first_dirty_offset) continue;
    if (!map_.put(*record->key, offset)) return false;
  }
}

std::vector<std::span<const CleanerSegment>> Cleaner::groups() const {
  std::vector<std::span<const CleanerSegment>> groups;
  const std::span<const CleanerSegment> all(task_.segments);
  size_t begin = 0;
  while (begin < all.size() && all[begin].base_offset < map_end_offset_) {
    uint64_t bytes = all[begin].size;
    uint64_t offset_bytes = uint64_t{all[begin].offset_entries} * kOffsetEntryBytes;
    uint64_t time_bytes = uint64_t{all[begin].time_entries} * kTimeEntryBytes;
    size_t end = begin + 1;
    for (; end < all.size() && all[end].base_offset < map_end_offset_; ++end) {
      const CleanerSegment& next = all[end];
      bytes += next.size;
      offset_bytes += uint64_t{next.offset_entries} * kOffsetEntryBytes;
      time_bytes += uint64_t{next.time_entries} * kTimeEntryBytes;
      if (bytes > task_.segment_bytes || offset_bytes > task_.segment_index_bytes ||
          time_bytes > task_.segment_index_bytes ||
          next.next_offset - 1 - all[begin].base_offset > INT32_MAX) {
        break;
      }
    }
    groups.push_back(all.subspan(begin, end - begin));
    begin = end;
  }
  return groups;
}

Result<CleanedSegment> Cleaner::clean(std::span<const CleanerSegment> group) {
  Output output(directory_, task_, group.front().base_offset, settings_.io_buffer_bytes);
  BARNABAS_TRY(output.open());
  timespec modified{};
  for (const CleanerSegment& source : group) {
    BARNABAS_TRY(clean_segment(source, output));
    struct stat info {};
    if (::stat(source.path.c_str(), &info) == 0) modified = info.st_mtim;
  }
  stats_.segments_before += group.size();
  stats_.segments_after += 1;
  stats_.bytes_kept += output.size();
  const int64_t next_offset = group.back().next_offset;
  auto finished = output.finish(next_offset, transactions_.take_index_entries(), modified);
  sync_failed_ = output.sync_failed();
  BARNABAS_ASSIGN(CleanedSegment cleaned, std::move(finished));
  cleaned.clean_end = std::min(next_offset, map_end_offset_);
  return cleaned;
}

Status Cleaner::clean_segment(const CleanerSegment& source, Output& output) {
  BARNABAS_ASSIGN(const UniqueFd fd, open_file(source.path, O_RDONLY));
  BatchReader reader(fd.get(), source.path, 0, source.size, settings_.io_buffer_bytes,
                     order_of(source));
  while (true) {
    BARNABAS_ASSIGN(const auto batch, reader.next());
    if (!batch) return {};
    auto kept = filter_.filter(batch->view);
    if (!kept.ok()) return in_batch(kept.error(), source, batch->position);
    stats_.bytes_read += batch->view.size_bytes();
    stats_.records_read += static_cast<uint64_t>(batch->view.record_count());
    stats_.records_kept += static_cast<uint64_t>(kept->records_kept);
    if (!kept->bytes.empty()) BARNABAS_TRY(output.add(kept->bytes));
    BARNABAS_TRY(pace(batch->view.size_bytes() + kept->bytes.size()));
  }
}

}  // namespace barnabas::storage
