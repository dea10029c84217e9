#include "storage/log_fork.h"

#include <fcntl.h>

#include "base/file_copy.h"
#include "base/file_system.h"
#include "storage/checkpoint_file.h"
#include "storage/fd_cache.h"
#include "storage/log_file_name.h"
#include "storage/log_impl.h"
#include "storage/producer_snapshot.h"

namespace barnabas::storage {
namespace {

/// One that is not there is none of the fork's either.
Status link_if_there(const std::string& from, const std::string& to) {
  Status linked = link_or_copy_file(from, to);
  return !linked.ok() && linked.error().sys_errno == ENOENT ? Status() : linked;
}

/// An index as it is in the file and, behind that, in memory.
Status write_index(const std::string& from, const std::string& to, const PendingIndex& index) {
  if (index.position > 0) BARNABAS_TRY(copy_file(from, to, index.position));
  return write_pending({to, index.position, index.bytes, index.count});
}

}  // namespace

class LogImpl::Fork final : public LogFork {
 public:
  explicit Fork(LogImpl& log) NO_THREAD_SAFETY_ANALYSIS : log_(log) {
    log_.flush_mutex_.lock();
    directory_ = log_.directory();
  }
  ~Fork() NO_THREAD_SAFETY_ANALYSIS override {
    if (stopped_) log_.write_mutex_.unlock();
    log_.flush_mutex_.unlock();
  }
  Fork(const Fork&) = delete;
  Fork& operator=(const Fork&) = delete;

  Status leave_segment_above(uint64_t bytes) {
    {
      MutexLock lock(log_.mutex_);
      if (log_.segments_.back()->size <= bytes) return {};
    }
    return log_.roll();
  }

  void stop_appends() NO_THREAD_SAFETY_ANALYSIS override {
    log_.write_mutex_.lock();
    stopped_ = true;
  }
  void resume_appends() NO_THREAD_SAFETY_ANALYSIS override {
    stopped_ = false;
    log_.write_mutex_.unlock();
  }

  Status cut() override;
  Status write(const std::string& directory) const override;
  [[nodiscard]] const std::string& directory() const override { return directory_; }
  [[nodiscard]] const ForkedOffsets& offsets() const override { return offsets_; }

 private:
  struct SegmentCut {
    int64_t base_offset = 0;
    uint64_t size = 0;
    bool indexed = false;
    PendingIndex transactions;
    Checksum transactions_checksum;
  };

  Status write_segment(const SegmentCut& segment, bool active, const std::string& directory) const;
  Status write_active_indexes(const SegmentCut& segment, const std::string& directory) const;

  LogImpl& log_;
  std::string directory_;
  bool stopped_ = false;
  // From cut() on:
  ForkedOffsets offsets_;
  std::vector<SegmentCut> segments_;  // the last one is active
  PendingIndex offset_index_;         // of the active segment
  PendingIndex time_index_;
  std::set<int64_t> snapshots_;
  std::optional<std::vector<uint8_t>> producers_;  // where there is no snapshot of the log end
  std::vector<std::string> epoch_lines_;
};

Status LogImpl::Fork::cut() {
  MutexLock lock(log_.mutex_);
  BARNABAS_TRY(log_.check_writable());
  for (const SegmentPtr& segment : log_.segments_) {
    if (segment->transactions_damaged) {
      return Error{
          ErrorCode::kKafkaStorageError,
          log_.path_of(*segment, suffix::kTransactionIndex) + ": damaged, and not rebuilt yet", 0};
    }
    segments_.push_back({segment->base_offset, segment->size, !segment->index_damaged,
                         pending_entries(segment->transaction_index.entries, ""),
                         segment->transaction_index.checksum});
  }
  Segment active = *log_.segments_.back();
  active.finish_time_index();
  offset_index_ = pending_entries(active.offset_index.entries, "");
  time_index_ = pending_entries(active.time_index.entries, "");
  offsets_ = {log_.log_start_offset_.load(), log_.log_end_offset_.load(),
              log_.cleaned_offset_.load()};
  snapshots_ = log_.snapshots_;
  if (offsets_.log_end_offset > log_.last_snapshot_offset_) {
    producers_ = encode_producer_snapshot(log_.producers_);
  }
  epoch_lines_ = log_.epochs_.to_lines();
  return {};
}

Status LogImpl::Fork::write(const std::string& directory) const {
  if (file_system().mkdir(directory.c_str(), 0755) != 0) return system_error(directory);
  for (const SegmentCut& segment : segments_) {
    BARNABAS_TRY(write_segment(segment, &segment == &segments_.back(), directory));
  }
  for (const int64_t offset : snapshots_) {
    BARNABAS_TRY(link_if_there(log_file_path(directory_, offset, suffix::kSnapshot),
                               log_file_path(directory, offset, suffix::kSnapshot)));
  }
  if (producers_) {
    BARNABAS_TRY(replace_file(log_file_path(directory, offsets_.log_end_offset, suffix::kSnapshot),
                              *producers_, Durability::kLater));
  }
  if (!epoch_lines_.empty()) {
    BARNABAS_TRY(write_checkpoint_lines(directory + "/" + std::string(kLeaderEpochCheckpointName),
                                        epoch_lines_, Durability::kLater));
  }
  const std::string metadata = "/" + std::string(kPartitionMetadataName);
  return link_if_there(directory_ + metadata, directory + metadata);
}

Status LogImpl::Fork::write_segment(const SegmentCut& segment, bool active,
                                    const std::string& directory) const {
  const auto from = [&](std::string_view file_suffix) {
    return log_file_path(directory_, segment.base_offset, file_suffix);
  };
  const auto to = [&](std::string_view file_suffix) {
    return log_file_path(directory, segment.base_offset, file_suffix);
  };
  if (segment.transactions.position + segment.transactions.bytes.size() > 0) {
    BARNABAS_TRY(write_index(from(suffix::kTransactionIndex), to(suffix::kTransactionIndex),
                             segment.transactions));
    BARNABAS_TRY(write_checksums(to(suffix::kTransactionIndex), {segment.transactions_checksum},
                                 Durability::kLater));
  }
  if (active) {
    BARNABAS_TRY(copy_file(from(suffix::kLog), to(suffix::kLog), segment.size));
    return write_active_indexes(segment, directory);
  }
  BARNABAS_TRY(link_or_copy_file(from(suffix::kLog), to(suffix::kLog)));
  if (!segment.indexed) return {};  // the fork's start makes them anew
  BARNABAS_TRY(link_if_there(from(suffix::kOffsetIndex), to(suffix::kOffsetIndex)));
  return link_if_there(from(suffix::kTimeIndex), to(suffix::kTimeIndex));
}

Status LogImpl::Fork::write_active_indexes(const SegmentCut& segment,
                                           const std::string& directory) const {
  if (segment.size == 0 || !segment.indexed) return {};
  const auto path = [&](const std::string& in, std::string_view file_suffix) {
    return log_file_path(in, segment.base_offset, file_suffix);
  };
  BARNABAS_TRY(write_index(path(directory_, suffix::kOffsetIndex),
                           path(directory, suffix::kOffsetIndex), offset_index_));
  return write_index(path(directory_, suffix::kTimeIndex), path(directory, suffix::kTimeIndex),
                     time_index_);
}

Result<std::unique_ptr<LogFork>> LogImpl::begin_fork(uint64_t roll_above_bytes) {
  auto fork = std::make_unique<Fork>(*this);
  BARNABAS_TRY(fork->leave_segment_above(roll_above_bytes));
  return std::unique_ptr<LogFork>(std::move(fork));
}

Status LogImpl::leave_forks(const SegmentPtr& segment) {
  std::string path;
  {
    MutexLock lock(mutex_);
    path = path_of(*segment, suffix::kLog);
  }
  BARNABAS_ASSIGN(const bool left, leave_other_names(path));
  if (!left) return {};
  fds_.forget(path);
  MutexLock lock(mutex_);
  segment->file.reset();
  return {};
}

}  // namespace barnabas::storage
