// One partition's log: segments in a directory, in Kafka's own format.
//
// Owns its segments, producer state and leader-epoch cache. Borrows the FdCache and the Clock,
// which outlive it.
//
// Thread-safety: every method may be called from any thread. Appends and changes of shape (roll,
// truncate, delete) go one after the other; a read never waits for their I/O, nor for a flush's.
// log_impl.h has the locks and their order.
//
// Invariants:
//   log_start_offset <= recovery_point <= log_end_offset
//   log_start_offset <= high_watermark <= log_end_offset   (kept by the partition, see dataplane/)
//   everything below recovery_point has been fsynced
//   an append is whole or it is not there: a failed or short write is truncated away before the
//   error is returned
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/fd.h"
#include "base/result.h"
#include "base/uuid.h"
#include "record/batch.h"
#include "storage/directory_health.h"
#include "storage/log_config.h"
#include "storage/offset_order.h"
#include "storage/producer_state.h"
#include "storage/topic_partition.h"

namespace barnabas::storage {

class FdCache;
class LogFork;
struct CleanSettings;
struct CleanStats;

/// Told of bytes read; may wait. False: give up.
using ScrubPace = std::function<bool(uint64_t bytes)>;

/// What an append did.
struct AppendInfo {
  int64_t base_offset = -1;
  int64_t last_offset = -1;
  int64_t log_append_time_ms = record::kNoTimestamp;  // set for LogAppendTime
  int64_t log_start_offset = 0;
  /// The batch was a retry of one of the producer's last five: nothing was written, the offsets are
  /// those of the first time.
  bool duplicate = false;
  /// flush.messages or flush.ms asks for a flush now. The log never flushes by itself.
  bool needs_flush = false;
};

/// A batch as Log::append takes it: validated, offsets not yet assigned.
struct AppendBatch {
  MutableBytes bytes;  // one whole v2 batch; base offset, epoch patched in place
  ProducerContext producer;
};

/// Where a range of offsets lies in a segment file.
struct ReadSlice {
  FileSlice file;  // may end in the middle of a batch; empty at the log's end
  int64_t first_batch_offset = -1;
  uint64_t first_batch_bytes = 0;  // size of the first batch, 0 when there is none
  bool in_active_segment = false;
  std::string path;  // for error messages
};

/// The aborted transactions that may have records in the slice, in the order of their markers.
struct CommittedSlice : ReadSlice {
  std::vector<AbortedTransaction> aborted;
};

/// What a copy of a log gets next: it ends with its segment's file.
struct CopySlice : ReadSlice {
  OffsetBounds bounds;  // of the segment
};

struct TimestampOffset {
  int64_t timestamp = record::kNoTimestamp;
  int64_t offset = -1;
  int32_t leader_epoch = -1;
};

struct EpochEndOffset {
  int32_t leader_epoch = -1;
  int64_t end_offset = -1;
};

/// What opening a log found and did; printed, and given to tests.
struct RecoveryReport {
  bool checked = false;  // batches were read back (unclean stop)
  uint64_t bytes_checked = 0;
  uint64_t bytes_cut = 0;        // a torn tail that was truncated
  uint64_t bytes_set_aside = 0;  // corruption: cut bytes kept in `set_aside_path`
  int64_t log_end_offset = 0;
  std::string set_aside_path;
  std::string reason;  // why the first bad batch was bad; empty when nothing was cut
};

struct LogOpenOptions {
  bool clean_shutdown = false;
  int64_t recovery_point = 0;    // from recovery-point-offset-checkpoint
  int64_t log_start_offset = 0;  // from log-start-offset-checkpoint
  int64_t cleaned_offset = 0;    // from cleaner-offset-checkpoint
  /// What last_aborts() said before the last clean stop, from transaction-index-checkpoint.
  std::vector<int64_t> last_aborts;
  std::optional<Uuid> topic_id;  // written to partition.metadata when absent there
  /// Changes no file: nothing is cut, rebuilt or written; reading ends before the first invalid
  /// batch.
  bool read_only = false;
  /// Of the directory that the log's lies in; null: of this log alone.
  std::shared_ptr<DirectoryHealth> health;
};

/// What compaction finds in a log whose cleanup.policy has `compact`.
struct Cleanable {
  int64_t first_dirty_offset = 0;
  int64_t end_offset = 0;  // the base of the first segment that may not be cleaned yet
  uint64_t clean_bytes = 0;
  uint64_t dirty_bytes = 0;
  bool overdue = false;  // something is dirty for longer than max.compaction.lag.ms

  [[nodiscard]] double dirty_ratio() const {
    const auto total = static_cast<double>(clean_bytes + dirty_bytes);
    return total == 0 ? 0 : static_cast<double>(dirty_bytes) / total;
  }
  /// Whether it is worth it, by min.cleanable.dirty.ratio.
  bool due = false;
};

class Log {
 public:
  /// Opens the log in `directory` (`…/<topic>-<partition>`), which is created when missing.
  /// Errors: kInconsistentTopicId when partition.metadata names another topic.
  static Result<std::unique_ptr<Log>> open(const std::string& directory, TopicPartition name,
                                           const LogConfig& config, const LogOpenOptions& options,
                                           FdCache& fds, Clock& clock);
  virtual ~Log() = default;

  // -- writing ----------------------------------------------------------------------------------
  /// Assigns base offset and `leader_epoch`, checks the producer's epoch and sequence, writes.
  /// Errors: those of ProducerState::check, kKafkaStorageError (nothing is appended),
  /// kRecordListTooLarge.
  virtual Result<AppendInfo> append(const AppendBatch& batch, int32_t leader_epoch) = 0;
  /// As a copy of another log: offsets and epochs stay as they are in `bytes` (several batches).
  /// kCorruptMessage when they are not whole or not in order, kOffsetOutOfRange when they begin
  /// below the log end.
  virtual Result<AppendInfo> append_as_follower(ByteView bytes) = 0;
  /// Notes that a leader of `leader_epoch` starts at the log end, unless the log knows that epoch
  /// or a later one.
  virtual void begin_leader_epoch(int32_t leader_epoch) = 0;
  /// fdatasync of everything below the log end; moves the recovery point. Returns the offset up to
  /// which all is durable. Blocks: disk threads only. When an fsync failed the log is offline, and
  /// so is every other that shares its DirectoryHealth; after another failure all is as it was, and
  /// a later flush may succeed.
  virtual Result<int64_t> flush() = 0;
  /// Begins a new segment, unless the active one is empty.
  virtual Status roll() = 0;
  virtual Status truncate_to(int64_t offset) = 0;
  /// Moves the log start (DeleteRecords); whole segments below it become deletable.
  virtual Status advance_log_start_offset(int64_t offset) = 0;
  /// Clean stop: flush, producer snapshot, indexes trimmed.
  virtual Status close() = 0;
  /// Renames the directory to `<name>.<uuid>-delete`; open readers keep what they hold.
  virtual Status mark_deleted() = 0;

  // -- moving to another log directory (log_move.cc) ----------------------------------------------
  /// The batches from `offset` on to the end of their segment, below the log end, as a copy needs
  /// them: those without records too, and what is below the log start in its first batch. Empty at
  /// the end. kCorruptMessage when `offset` is in a batch that is not in its place.
  virtual Result<CopySlice> read_to_copy(int64_t offset) = 0;
  /// While paused nothing is compacted: a copy must not miss a tombstone of which it has the
  /// record. Waits for a compaction that is under way.
  virtual void pause_cleaning(bool paused) = 0;
  /// Makes the files of `copy`, which copy_batches() has filled, those of this log: what it lacks
  /// is copied, made durable, and its directory gets this one's name. Epochs, producers and offsets
  /// stay. `about_to` runs once the copy is whole and durable, before any name changes; an error of
  /// it ends the move. Returns what the old directory is called now (`…-delete`); `copy` is good
  /// for nothing then but to be destroyed. Appends wait meanwhile. After an error the log is where
  /// it was, or offline. REQUIRES: nobody else uses `copy`.
  virtual Result<std::string> move_to(Log& copy, const std::function<Status()>& about_to) = 0;

  // -- forking (log_fork.h) -----------------------------------------------------------------------
  /// Leaves the active segment if it is larger than this, and holds the log's files.
  virtual Result<std::unique_ptr<LogFork>> begin_fork(uint64_t roll_above_bytes) = 0;

  // -- reading ----------------------------------------------------------------------------------
  /// The bytes from the batch that contains `offset` on, at most `max_bytes`, no offset >=
  /// `end_offset`. With `at_least_one` the first batch is whole even when larger than max_bytes.
  /// kOffsetOutOfRange below the log start or above the log end. Finds only; reads no record.
  virtual Result<ReadSlice> read(int64_t offset, uint64_t max_bytes, int64_t end_offset,
                                 bool at_least_one) = 0;
  /// The first record at or after `timestamp` (ListOffsets by time); offset -1 when none.
  virtual Result<TimestampOffset> offset_for_timestamp(int64_t timestamp) = 0;
  /// The record with the largest timestamp (ListOffsets -3); offset -1 for an empty log.
  virtual Result<TimestampOffset> max_timestamp_offset() = 0;
  /// OffsetForLeaderEpoch: the largest epoch <= the one asked for, and where it ends; (-1, -1) when
  /// not known. For the current epoch the end is the log end.
  virtual EpochEndOffset end_offset_for_epoch(int32_t leader_epoch) = 0;
  /// The epoch an offset was written in, -1 when not known.
  virtual int32_t epoch_for_offset(int64_t offset) = 0;

  // -- transactions -----------------------------------------------------------------------------
  /// Before the first batch of a client's transaction: kNoGuard when the transaction is open here,
  /// else what the append is to bring with it once the transaction coordinator knows of it.
  /// kInvalidProducerEpoch when a later epoch has been here.
  virtual Result<TransactionEntrance> begin_verification(int64_t producer_id, int16_t epoch,
                                                         int32_t base_sequence,
                                                         bool transactions_v2,
                                                         std::string_view transactional_id) = 0;
  /// The transaction coordinator knows of it; nobody with this id has to ask until its marker has
  /// come.
  virtual void mark_verified(int64_t producer_id, int16_t epoch,
                             std::string_view transactional_id) = 0;
  /// Where the oldest transaction begins that is not decided below the high watermark; INT64_MAX
  /// without one. A reader that loads the high watermark first sees no undecided record below both.
  [[nodiscard]] virtual int64_t first_unstable_offset() const = 0;
  /// The high watermark has moved: transactions that ended below it are decided.
  virtual void advance_high_watermark(int64_t high_watermark) = 0;
  [[nodiscard]] virtual std::vector<ProducerInfo> producers() const = 0;
  /// As read(), for one who is to be told which records were aborted. Slice and transactions are
  /// found together, as compaction and deletion between the two would leave a slice of which
  /// nobody knows them. kKafkaStorageError when the log never stops changing.
  virtual Result<CommittedSlice> read_committed(int64_t offset, uint64_t max_bytes,
                                                int64_t end_offset, bool at_least_one) = 0;
  /// Of each segment that has a transaction index, the offset of the last marker in it; ascending.
  /// The next start tells by it that such a file has gone, which nothing else would.
  [[nodiscard]] virtual std::vector<int64_t> last_aborts() const = 0;

  // -- state ------------------------------------------------------------------------------------
  [[nodiscard]] virtual int64_t log_start_offset() const = 0;
  [[nodiscard]] virtual int64_t log_end_offset() const = 0;
  [[nodiscard]] virtual int64_t recovery_point() const = 0;
  [[nodiscard]] virtual int32_t latest_epoch() const = 0;
  /// Where the active segment begins; takes no lock. Reads below it may wait for a disk.
  [[nodiscard]] virtual int64_t active_segment_base_offset() const = 0;
  [[nodiscard]] virtual uint64_t size_bytes() const = 0;
  [[nodiscard]] virtual size_t segment_count() const = 0;
  [[nodiscard]] virtual bool offline() const = 0;
  /// Whether an append is at the files, with every lock that it needs; takes no lock.
  [[nodiscard]] virtual bool is_writing() const = 0;
  [[nodiscard]] virtual const Uuid& topic_id() const = 0;
  [[nodiscard]] virtual const RecoveryReport& recovery_report() const = 0;
  [[nodiscard]] virtual std::string directory() const = 0;

  // -- upkeep (disk threads) ----------------------------------------------------------------------
  virtual void set_config(const LogConfig& config) = 0;
  /// Rolls when segment.ms is over, forgets expired producers, rebuilds damaged indexes, takes out
  /// of the log what retention allows below `high_watermark`.
  virtual void maintain(int64_t high_watermark) = 0;
  /// What there is to compact below `stable_offset`, which no open transaction may change.
  virtual Cleanable cleanable(int64_t stable_offset) = 0;
  /// Compacts what cleanable() says, as far as the map's memory reaches. One at a time; appends,
  /// reads and retention go on. kCorruptMessage names file and position: nothing of the segments
  /// from there on has changed. kRequestTimedOut: told to give up, or the log has changed too much.
  virtual Result<CleanStats> clean(int64_t stable_offset, const CleanSettings& settings) = 0;
  /// Everything below is compacted; 0 when nothing is.
  [[nodiscard]] virtual int64_t cleaned_offset() const = 0;
  /// Reads the closed segments back and checks every batch; changes nothing. An error for each
  /// segment that is not good any more, with file and position. kRequestTimedOut: told to give up.
  virtual Result<std::vector<Error>> scrub(const ScrubPace& pace) = 0;
  /// Unlinks the files of removed segments whose file.delete.delay.ms is over.
  virtual void remove_due_files() = 0;
  /// Makes the transaction indexes anew that a reader or compaction has found damaged: until then
  /// nobody can tell what is committed there. maintain() does it, too, and more.
  virtual void rebuild_transactions() = 0;
};

/// Appends to `copy` what `log` has from the end of `copy` on, about `max_bytes`; returns how many
/// bytes that were, 0 when nothing is left. kCorruptMessage, with file and position: a batch is not
/// what its CRC says, or not in its place; kOffsetOutOfRange: the log now begins above the end of
/// `copy`. Reads files: disk threads only.
Result<uint64_t> copy_batches(Log& log, Log& copy, uint64_t max_bytes);
/// Whether `log` may be copied on to `copy` from where that ends: its last batches are the log's.
/// After a power cut a copy may have what the log has lost, and in the place of which others have
/// been written since.
Result<bool> may_go_on(Log& log, Log& copy);

}  // namespace barnabas::storage
