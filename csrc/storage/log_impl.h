// The one implementation of Log. Spread over log.cc (opening, appending), log_roll.cc, log_read.cc,
// log_time.cc, log_transactions.cc, log_flush.cc, log_upkeep.cc (truncation, deletion, retention),
// log_clean.cc (compaction), log_scrub.cc, log_move.cc (to another log directory) and log_fork.cc
// (to a second log).
//
// Locks, in the order they are taken:
//   clean_mutex_   one compaction at a time; held for all of it
//   flush_mutex_   one flush at a time; held across fdatasync, so only disk threads wait for it.
//                  Who takes segments out of the log holds it too: a flush must not lose its files
//   write_mutex_   one writer at a time; held across the pwrite of an append and across changes of
//                  shape (roll, truncate, delete). Readers never take it.
//   mutex_         the state; held for nanoseconds, never across a system call that touches a disk
// State changes only with write_mutex_ and mutex_ both held, so a writer that holds write_mutex_
// knows that what it saw under mutex_ still holds when it takes it again. Under mutex_ alone
// change, as no writer relies on them: the configuration, verifications and which ended
// transactions are decided; the file that a segment keeps open; and what a flush notes, with
// flush_mutex_ held: the recovery point, last_flush_ms_, names_changed_, epochs_changed_,
// directory_is_new_ and what is synced or vouched for of a segment. Nor does a writer rely on the
// directory's name while it renames it.
//
// A lookup takes what it needs under mutex_ and reads files unlocked. Files only grow, except when
// shape_version_ moves: a reader that finds it moved starts over.
#pragma once

#include <atomic>
#include <deque>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/thread_annotations.h"
#include "storage/cleaner.h"
#include "storage/leader_epoch_cache.h"
#include "storage/log.h"
#include "storage/log_loader.h"
#include "storage/producer_state.h"
#include "storage/recent_batches.h"
#include "storage/segment.h"

namespace barnabas::storage {

class LogImpl final : public Log {
 public:
  LogImpl(std::string directory, TopicPartition name, const LogConfig& config, const Uuid& topic_id,
          LoadedLog loaded, bool is_new, const LogOpenOptions& options, FdCache& fds, Clock& clock);
  ~LogImpl() override;

  Result<AppendInfo> append(const AppendBatch& batch, int32_t leader_epoch) override;
  Result<AppendInfo> append_as_follower(ByteView bytes) override;
  void begin_leader_epoch(int32_t leader_epoch) override;
  Result<int64_t> flush() override;
  Status roll() override;
  Status truncate_to(int64_t offset) override;
  Status advance_log_start_offset(int64_t offset) override;
  Status close() override;
  Status mark_deleted() override;
  Result<CopySlice> read_to_copy(int64_t offset) override;
  void pause_cleaning(bool paused) override;
  Result<std::string> move_to(Log& copy, const std::function<Status()>& about_to) override;
  Result<std::unique_ptr<LogFork>> begin_fork(uint64_t roll_above_bytes) override;

  Result<ReadSlice> read(int64_t offset, uint64_t max_bytes, int64_t end_offset,
                         bool at_least_one) override;
  Result<TimestampOffset> offset_for_timestamp(int64_t timestamp) override;
  Result<TimestampOffset> max_timestamp_offset() override;
  EpochEndOffset end_offset_for_epoch(int32_t leader_epoch) override;
  int32_t epoch_for_offset(int64_t offset) override;

  Result<TransactionEntrance> begin_verification(int64_t producer_id, int16_t epoch,
                                                 int32_t base_sequence, bool transactions_v2,
                                                 std::string_view transactional_id) override;
  void mark_verified(int64_t producer_id, int16_t epoch,
                     std::string_view transactional_id) override;
  [[nodiscard]] int64_t first_unstable_offset() const override {
    return first_unstable_offset_.load();
  }
  void advance_high_watermark(int64_t high_watermark) override;
  [[nodiscard]] std::vector<ProducerInfo> producers() const override;
  Result<CommittedSlice> read_committed(int64_t offset, uint64_t max_bytes, int64_t end_offset,
                                        bool at_least_one) override;
  [[nodiscard]] std::vector<int64_t> last_aborts() const override;

  [[nodiscard]] int64_t log_start_offset() const override { return log_start_offset_.load(); }
  [[nodiscard]] int64_t log_end_offset() const override { return log_end_offset_.load(); }
  [[nodiscard]] int64_t recovery_point() const override { return recovery_point_.load(); }
  [[nodiscard]] int32_t latest_epoch() const override { return latest_epoch_.load(); }
  [[nodiscard]] int64_t active_segment_base_offset() const override {
    return active_base_offset_.load();
  }
  [[nodiscard]] uint64_t size_bytes() const override;
  [[nodiscard]] size_t segment_count() const override;
  [[nodiscard]] bool offline() const override {
    return offline_.load() || health_.load(std::memory_order_acquire)->failed();
  }
  [[nodiscard]] bool is_writing() const override {
    return writing_.load(std::memory_order_relaxed);
  }
  [[nodiscard]] const Uuid& topic_id() const override { return topic_id_; }
  [[nodiscard]] const RecoveryReport& recovery_report() const override { return report_; }
  [[nodiscard]] std::string directory() const override;

  void set_config(const LogConfig& config) override;
  void maintain(int64_t high_watermark) override;
  void remove_due_files() override;
  void rebuild_transactions() override;
  Cleanable cleanable(int64_t stable_offset) override;
  Result<CleanStats> clean(int64_t stable_offset, const CleanSettings& settings) override;
  Result<std::vector<Error>> scrub(const ScrubPace& pace) override;
  [[nodiscard]] int64_t cleaned_offset() const override { return cleaned_offset_.load(); }

 private:
  class Fork;
  using SegmentPtr = std::shared_ptr<Segment>;

  /// What is needed, beside the file itself, to find a batch without the lock.
  struct Lookup {
    SegmentPtr segment;
    int64_t offset = 0;
    int64_t next_offset = 0;
    uint64_t size = 0;                    // of the segment's file
    std::optional<BatchPosition> exact;   // known already
    std::optional<OffsetPosition> floor;  // known from the index entries in memory
    uint32_t file_entries = 0;            // otherwise to be searched in these
    uint64_t version = 0;                 // shape_version_ of all this
  };

  /// The lookups that a read of [offset, end_offset) needs in one segment.
  struct ReadPlan {
    Lookup first;
    std::optional<Lookup> last;  // the batch at end_offset, when the end is inside the segment
    SharedFd file;               // when it is open already
    std::string path;
    OddRange odd;  // of the segment
    bool in_active_segment = false;
  };

  struct UnvouchedIndex {
    SegmentPtr segment;
    std::string path;
    Checksum checksum;
  };

  struct FlushPlan {
    int64_t end_offset = 0;
    std::string directory;
    std::vector<SegmentPtr> segments;
    std::vector<std::string> side_files;  // indexes and snapshots of what is no longer written to
    /// Transaction indexes, with the entries they have: of the active segment as well, as nothing
    /// tells that one lost what it had.
    std::vector<std::pair<SegmentPtr, uint32_t>> transactions;
    /// What transaction indexes that nothing is added to any more have, where that is not in their
    /// checksum files: below the recovery point nobody makes them anew.
    std::vector<UnvouchedIndex> unvouched;
    /// Segments that were left, with their index_files_written.
    std::vector<std::pair<SegmentPtr, uint32_t>> indexes;
    std::optional<std::vector<std::string>> epoch_lines;
    bool names_changed = false;
    bool directory_is_new = false;
  };

  /// Where the next batch goes.
  struct WriteTarget {
    SegmentPtr segment;
    SharedFd file;  // when it is open already
    uint64_t position = 0;
  };

  // -- appending (log.cc)
  Status check_writable() const REQUIRES(mutex_);
  [[nodiscard]] bool should_roll(const Segment& active, uint64_t bytes, int64_t last_offset,
                                 int64_t max_timestamp) const REQUIRES(mutex_);
  [[nodiscard]] WriteTarget write_target() const REQUIRES(mutex_);
  Result<WriteTarget> roll_to_target() REQUIRES(write_mutex_);
  /// Returns whether a flush is asked for.
  Result<bool> write_batches(ByteView bytes, WriteTarget target) REQUIRES(write_mutex_);
  /// Cuts off what a write has left that failed and could not be taken back. Before it nothing else
  /// may become of the active segment.
  Status cut_remainder() REQUIRES(write_mutex_);
  void publish(ByteView bytes) REQUIRES(write_mutex_, mutex_);
  void publish_producer(const record::BatchView& batch) REQUIRES(write_mutex_, mutex_);
  void go_offline(const std::string& why);
  [[nodiscard]] FlushPlan plan_flush() const REQUIRES(mutex_);
  Status sync(const FlushPlan& plan, bool& fsync_failed) EXCLUDES(mutex_);
  [[nodiscard]] bool wants_flush() const REQUIRES(mutex_);
  void persist_index_tails() REQUIRES(write_mutex_);

  // -- files
  [[nodiscard]] std::string path_of(const Segment& segment, std::string_view file_suffix) const
      REQUIRES(mutex_);
  /// Closes what FdCache keeps open of this log.
  void forget_files() EXCLUDES(mutex_);
  Result<SharedFd> open_log_file(const SegmentPtr& segment, std::string* path = nullptr)
      EXCLUDES(mutex_);

  // -- changes of shape (log_roll.cc, log_upkeep.cc)
  Status roll_segment() REQUIRES(write_mutex_);
  Status take_snapshot() REQUIRES(write_mutex_);
  Status rebuild_indexes(const SegmentPtr& segment) REQUIRES(write_mutex_);
  Status rebuild_damaged(const SegmentPtr& segment) EXCLUDES(write_mutex_);
  Result<Segment> read_indexes(const SegmentPtr& segment) EXCLUDES(mutex_);
  Status install_indexes(const SegmentPtr& segment, Segment rebuilt) REQUIRES(write_mutex_);
  /// Durable at return.
  Status remove_snapshots_above(int64_t offset) REQUIRES(write_mutex_);
  Status reload_producers(int64_t offset) REQUIRES(write_mutex_);
  /// fsync of the log's directory; offline when it fails.
  Status sync_own_names(const std::string& directory);
  /// What came of an fsync, of which a later flush may hide what it was to tell: offline when it
  /// failed, as after one that fails in a flush.
  Status offline_unless(Status synced);
  /// Takes the oldest segments that hold nothing at or above `offset` out of the log.
  std::vector<SegmentPtr> take_segments_below(int64_t offset) REQUIRES(write_mutex_, mutex_);
  void remove_segments(const std::vector<SegmentPtr>& doomed) REQUIRES(flush_mutex_, write_mutex_);
  void remove_old_segments(int64_t high_watermark) REQUIRES(flush_mutex_, write_mutex_);
  /// How many segments retention takes, the active one included.
  [[nodiscard]] size_t count_expired(int64_t high_watermark, int64_t now_ms) const REQUIRES(mutex_);
  /// Of segments whose records have no timestamps, retention takes the file's.
  void note_modification_times() EXCLUDES(mutex_);
  void roll_when_due(int64_t high_watermark) REQUIRES(write_mutex_);
  /// How old the active segment may get: segment.ms (max.compaction.lag.ms) less the segment's
  /// share of segment.jitter.ms.
  [[nodiscard]] int64_t roll_after_ms(const Segment& active) const REQUIRES(mutex_);
  void rebuild_damaged_indexes() EXCLUDES(flush_mutex_, write_mutex_);

  // -- transactions (log_transactions.cc)
  void persist_transactions() REQUIRES(write_mutex_);
  /// Of the first `count` segments.
  [[nodiscard]] std::vector<UnvouchedIndex> unvouched_transactions(size_t count) const
      REQUIRES(mutex_);
  static Status write_transaction_checksums(const std::vector<UnvouchedIndex>& unvouched);
  /// What could not be written with its marker; an error when it still cannot.
  Status write_late_transactions() REQUIRES(flush_mutex_) EXCLUDES(write_mutex_, mutex_);
  Status truncate_transactions(const SegmentPtr& segment, int64_t end_offset)
      REQUIRES(write_mutex_);
  Status rebuild_transactions(const SegmentPtr& segment) EXCLUDES(flush_mutex_, write_mutex_);
  Result<CommittedSlice> try_read_committed(int64_t offset, uint64_t max_bytes, int64_t end_offset,
                                            bool at_least_one) EXCLUDES(mutex_);
  /// Of the log as it is now: means nothing for a slice of what it was.
  Result<std::vector<AbortedTransaction>> find_aborted_in(const ReadSlice& slice, int64_t offset,
                                                          int64_t end_offset) EXCLUDES(mutex_);
  /// Those in one segment, and whether later ones matter no more.
  Result<bool> add_aborted(const SegmentPtr& segment, int64_t offset, int64_t upper_bound,
                           std::vector<AbortedTransaction>& found) EXCLUDES(mutex_);
  /// `expected`: what its transaction index should have had.
  void note_damaged_transactions(const SegmentPtr& segment, const Checksum& expected,
                                 const Error& error) EXCLUDES(mutex_);
  /// An offset above all batches that begin before `position` in the segment, near it.
  Result<int64_t> offset_above(const SegmentPtr& segment, uint64_t position) EXCLUDES(mutex_);

  // -- finding (log_read.cc, log_time.cc)
  [[nodiscard]] SegmentPtr segment_for(int64_t offset) const REQUIRES(mutex_);
  [[nodiscard]] SegmentPtr segment_after(const Segment& segment) const REQUIRES(mutex_);
  [[nodiscard]] Lookup prepare_lookup(const SegmentPtr& segment, int64_t offset) const
      REQUIRES(mutex_);
  [[nodiscard]] ReadPlan plan_read(const SegmentPtr& segment, int64_t offset,
                                   int64_t end_offset) const REQUIRES(mutex_);
  [[nodiscard]] static OffsetBounds bounds_of(const Segment& segment) {
    return {.base_offset = segment.base_offset, .end_offset = segment.next_offset};
  }
  /// Takes note of what it finds out of place.
  Result<FoundBatch> search(const Lookup& lookup) EXCLUDES(mutex_);
  Result<FoundBatch> search_file(const Lookup& lookup) EXCLUDES(mutex_);
  /// What is there, though something else may have had the offset.
  Result<std::optional<BatchPosition>> find(const Lookup& lookup) EXCLUDES(mutex_);
  /// kCorruptMessage rather than to pass over a batch that is out of place and may have the offset.
  Result<std::optional<BatchPosition>> find_certainly(const Lookup& lookup) EXCLUDES(mutex_);
  /// Compaction leaves batches without records, and may leave a segment without offsets at its end:
  /// then they go on in the next one. A reader that gets nothing but empty batches may take it for
  /// a record that is too large (librdkafka does), so it gets them only if nothing follows. The
  /// plan becomes that of the segment in which the batch is.
  Result<std::optional<BatchPosition>> find_behind_empty(ReadPlan& plan,
                                                         std::optional<BatchPosition> start,
                                                         int64_t end_offset, uint64_t version)
      EXCLUDES(mutex_);
  Result<ReadSlice> try_read(int64_t offset, uint64_t max_bytes, int64_t end_offset,
                             bool at_least_one);
  /// The result of a look-up that saw no change of shape. A truncation or deletion meanwhile starts
  /// it over; more than a few in a row mean that something is wrong beyond what that would mend.
  template <class LookUp>
  auto retried(LookUp look_up) EXCLUDES(mutex_) {
    constexpr int kMaxTries = 8;
    for (int tries = 1;; ++tries) {
      const uint64_t version = shape_version_.load();
      auto result = look_up();
      if (!result.ok()) follow_rename(result.error());
      if (shape_version_.load() == version || tries == kMaxTries) return result;
    }
  }
  /// The last entry of the time index at or below `timestamp`, and where to begin because of it.
  struct TimeFloor {
    OffsetTimestamp entry;
    /// At most the entry's. A wrong offset in an entry cannot be told from the right one when the
    /// batch there has the same timestamp, so a walk begins with the entry before it.
    int64_t from_offset = 0;
  };
  Result<TimeFloor> floor_timestamp(const SegmentPtr& segment, int64_t timestamp);
  /// `path`: of the index. `version`: shape_version_ of what has been looked up. When it has moved,
  /// or the segment has been replaced before that, the file that was read may be that of another
  /// segment; and when another process writes, nobody says when it moves.
  void note_damaged_index(const SegmentPtr& segment, uint64_t version, const std::string& path,
                          const std::string& reason = "") EXCLUDES(mutex_);
  /// Whether the segment's largest timestamp is known from its batches at return. That of a segment
  /// that was closed at the start is the last in its time index; retention deletes by it.
  bool see_max_timestamp(const SegmentPtr& segment) EXCLUDES(mutex_);
  void see_max_timestamps() EXCLUDES(mutex_);
  /// Of the segments that retention would take by what is known, and of the first that it leaves.
  void see_expiring_timestamps(int64_t high_watermark) EXCLUDES(mutex_);
  Result<std::optional<TimestampOffset>> find_in_segment(const SegmentPtr& segment,
                                                         int64_t timestamp, int64_t from_offset);
  /// Of the records at or above `from_offset`, read from their headers; -1 when there are none.
  Result<int64_t> max_timestamp_in(const SegmentPtr& segment, int64_t from_offset) EXCLUDES(mutex_);

  // -- compaction (log_clean.cc)
  [[nodiscard]] Cleanable find_cleanable(int64_t stable_offset) const REQUIRES(mutex_);
  [[nodiscard]] CleanTask plan_clean(const Cleanable& found) const REQUIRES(mutex_);
  Result<UniqueFd> open_own_directory() EXCLUDES(mutex_);
  /// kRequestTimedOut when retention took all that there was to compact.
  Result<CleanStats> clean_groups(Cleaner& cleaner, int directory, const CleanSettings& settings)
      REQUIRES(clean_mutex_) EXCLUDES(mutex_);
  /// kRequestTimedOut when the segments are not in the log any more, as they were.
  Status swap_in(std::span<const CleanerSegment> sources, const CleanedSegment& cleaned,
                 const std::function<void(CleanStep)>& on_step) EXCLUDES(mutex_);
  /// Steps 3 and 4 of the swap.
  Status rename_swapped(std::span<const CleanerSegment> sources, const std::string& directory,
                        int64_t due_ms, const std::function<void(CleanStep)>& reached)
      REQUIRES(write_mutex_);
  [[nodiscard]] bool still_there(std::span<const CleanerSegment> sources, size_t& first) const
      REQUIRES(mutex_);
  /// Renames to `.deleted`, to be unlinked when due.
  Status doom(const std::string& path, int64_t due_ms) REQUIRES(write_mutex_);

  // -- moving (log_move.cc)
  Result<CopySlice> try_read_to_copy(int64_t offset) EXCLUDES(mutex_);
  /// Makes `copy` this log's equal, in memory and durably.
  Status complete(LogImpl& copy) REQUIRES(flush_mutex_, write_mutex_);
  /// Exchanges what is under the directory of each. Readers find the other's from here on.
  void exchange_files(LogImpl& other) REQUIRES(flush_mutex_, write_mutex_)
      EXCLUDES(mutex_, other.write_mutex_, other.mutex_);
  /// Renames the directory that the log has got by an exchange to the partition's name.
  Status take_name() REQUIRES(write_mutex_) EXCLUDES(mutex_);
  void enter_next_directory() REQUIRES(mutex_);
  /// After a look-up by name failed: whether that is because take_name()'s rename has happened, and
  /// perhaps not returned yet. From here on the log has its new directory: to be tried again.
  bool follow_rename(const Error& error) EXCLUDES(mutex_);

  // -- forking (log_fork.cc)
  /// A segment that is to be written to again gets a .log of its own.
  Status leave_forks(const SegmentPtr& segment) REQUIRES(write_mutex_) EXCLUDES(mutex_);

  const TopicPartition name_;
  const Uuid topic_id_;
  const bool read_only_;
  const RecoveryReport report_;
  FdCache& fds_;
  Clock& clock_;

  Mutex clean_mutex_;
  Mutex flush_mutex_ ACQUIRED_AFTER(clean_mutex_);
  Mutex write_mutex_ ACQUIRED_AFTER(flush_mutex_);
  mutable Mutex mutex_ ACQUIRED_AFTER(write_mutex_);

  // Written with mutex_ held, read without.
  std::atomic<int64_t> log_start_offset_;
  std::atomic<int64_t> log_end_offset_;
  std::atomic<int64_t> recovery_point_;
  std::atomic<int64_t> cleaned_offset_;
  std::atomic<int64_t> active_base_offset_;
  std::atomic<int32_t> latest_epoch_;
  std::atomic<int64_t> first_unstable_offset_;
  std::atomic<int64_t> last_abort_offset_;  // no marker of an abort lies above it
  std::atomic<uint64_t> shape_version_ = 0;
  std::atomic<DirectoryHealth*> health_;  // of the directory that the log is in
  std::atomic<bool> offline_ = false;
  std::atomic<bool> cleaning_paused_ = false;
  std::atomic<bool> transactions_damaged_ = false;  // of a segment, perhaps
  std::atomic<bool> writing_ = false;               // an append is behind its locks, at the files

  LogConfig config_ GUARDED_BY(mutex_);
  std::string directory_ GUARDED_BY(mutex_);
  std::string next_directory_ GUARDED_BY(mutex_);  // while directory_ is being renamed to it
  // Of every directory it was in: whoever looked at health_ before a move may still do.
  std::vector<std::shared_ptr<DirectoryHealth>> healths_ GUARDED_BY(mutex_);
  std::vector<SegmentPtr> segments_ GUARDED_BY(mutex_);  // by base offset, the last one is active
  RecentBatches recent_ GUARDED_BY(mutex_);
  LeaderEpochCache epochs_ GUARDED_BY(mutex_);
  ProducerState producers_ GUARDED_BY(mutex_);
  std::set<int64_t> snapshots_ GUARDED_BY(mutex_);
  int64_t last_snapshot_offset_ GUARDED_BY(mutex_);
  int64_t last_flush_ms_ GUARDED_BY(mutex_);  // monotonic
  bool epochs_changed_ GUARDED_BY(mutex_);
  bool names_changed_ GUARDED_BY(mutex_);  // files were made or removed since the last flush
  bool directory_is_new_ GUARDED_BY(mutex_);
  bool closed_ GUARDED_BY(mutex_) = false;

  bool has_remainder_ GUARDED_BY(write_mutex_) = false;  // behind the active segment's batches

  struct DoomedFile {
    std::string path;
    int64_t due_ms;  // monotonic
  };
  std::deque<DoomedFile> doomed_ GUARDED_BY(write_mutex_);  // in the order of due_ms
  std::atomic<int64_t> next_due_ms_ = INT64_MAX;            // of doomed_, for a look without lock
};

}  // namespace barnabas::storage
