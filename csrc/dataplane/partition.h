// One partition as its leader serves it: the log, the leader epoch, the high watermark, and who
// waits for it to move.
//
// Ownership: owns the log; shared by the partition table, fetch sessions and waiting requests, so
// that a deleted partition lives until the last of them lets go.
//
// Thread-safety: every method may be called from any thread.
//
// Invariants:
//   log_start_offset <= last_stable_offset <= high_watermark <= log_end_offset
//   the high watermark never goes back
//   when flush.messages asks for it, everything below the high watermark has been fdatasynced
//   a waiter that adds its watch and then still finds the condition unmet is woken once it is met
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/kafka_error.h"
#include "base/planted.h"
#include "base/thread_annotations.h"
#include "base/uuid.h"
#include "dataplane/partition_waiter.h"
#include "dataplane/recent_tail.h"
#include "storage/log.h"

namespace barnabas::dataplane {

class Flusher;

/// A topic's name and id; shared by its partitions, constant.
struct TopicIdentity {
  std::string name;
  Uuid id;
};

enum class IsolationLevel : int8_t { kReadUncommitted = 0, kReadCommitted = 1 };

/// What a fetch asks of one partition.
struct FetchParams {
  int64_t fetch_offset = 0;
  int32_t current_leader_epoch = -1;
  int32_t last_fetched_epoch = -1;
  int32_t max_bytes = 0;  // partition_max_bytes
};

/// What a fetch finds in one partition.
struct PartitionRead {
  ErrorCode error = ErrorCode::kNone;
  int64_t high_watermark = -1;
  int64_t last_stable_offset = -1;
  int64_t log_start_offset = -1;
  /// leader_epoch >= 0: the fetcher's log diverged from ours there (KIP-595); nothing is read.
  storage::EpochEndOffset diverging;
  storage::ReadSlice slice;
  /// With read_committed: those that may have records in the slice; null when there are none.
  std::unique_ptr<const std::vector<storage::AbortedTransaction>> aborted;
};

class Partition : public std::enable_shared_from_this<Partition> {
 public:
  /// The high watermark begins at the log end: with one replica all of a recovered log is
  /// committed. `log` may be null: the partition is offline then.
  Partition(std::shared_ptr<const TopicIdentity> topic, int32_t index, int32_t leader_epoch,
            std::unique_ptr<storage::Log> log);
  Partition(const Partition&) = delete;
  Partition& operator=(const Partition&) = delete;

  [[nodiscard]] const TopicIdentity& topic() const { return *topic_; }
  [[nodiscard]] int32_t index() const { return index_; }
  [[nodiscard]] int32_t leader_epoch() const { return leader_epoch_; }
  [[nodiscard]] std::string to_string() const;
  /// The number of the log directory that it lies in; kNoDirectory when it is in none that is
  /// there.
  static constexpr size_t kNoDirectory = SIZE_MAX;
  [[nodiscard]] size_t directory() const { return directory_.load(); }
  void set_directory(size_t number) { directory_ = number; }
  /// Null when the log could not be opened.
  [[nodiscard]] storage::Log* log() const { return log_.get(); }
  [[nodiscard]] int64_t high_watermark() const { return high_watermark_.load(); }
  /// Below it every transaction is decided: what read_committed may see.
  [[nodiscard]] int64_t last_stable_offset() const;
  [[nodiscard]] int64_t log_start_offset() const;
  /// Whether something waits for an fdatasync: one that failed for want of a descriptor or of room
  /// is to be tried again.
  [[nodiscard]] bool awaits_flush() const { return flush_wanted_.load() > high_watermark(); }
  [[nodiscard]] bool offline() const { return log_ == nullptr || log_->offline(); }
  [[nodiscard]] bool deleted() const { return deleted_; }
  /// What a request to it is answered: none, deleted, or offline.
  [[nodiscard]] ErrorCode availability() const;
  [[nodiscard]] bool is_served_in(size_t directory) const {
    return this->directory() == directory && availability() == ErrorCode::kNone;
  }

  /// Whether an append of it is in its disk's hands: one that waits for a lock is not.
  [[nodiscard]] bool is_writing() const { return log_ != nullptr && log_->is_writing(); }

  // -- appending ----------------------------------------------------------------------------------
  /// Appends as the leader. The batch is committed once the high watermark is above its last
  /// offset: at return, unless the topic wants an fdatasync first, which `flusher` is asked for.
  Result<storage::AppendInfo> append(const storage::AppendBatch& batch, Flusher& flusher);
  /// fdatasync, and what follows from it for the high watermark. Blocks: disk threads only.
  Status flush();

  // -- reading ------------------------------------------------------------------------------------
  /// Finds what a fetch may see: epochs checked, up to the high watermark or LSO.
  PartitionRead read(const FetchParams& params, uint64_t max_bytes, bool at_least_one,
                     IsolationLevel isolation) const;
  /// What the disk said when a read failed because of it, once; else nothing.
  std::string take_read_failure() const EXCLUDES(failure_mutex_);
  /// Whether what lies at `offset` may have to come from a disk: neither the end of the log nor
  /// appended recently.
  [[nodiscard]] bool may_be_cold(int64_t offset) const {
    return !recent_tail_.contains(offset) && offset < high_watermark();
  }
  /// What was appended a while ago is not taken for resident any more.
  void age_recent_tail();
  /// Bytes that have come below the high watermark since the partition was opened.
  [[nodiscard]] uint64_t visible_bytes() const { return visible_bytes_.load(); }

  // -- waiting ------------------------------------------------------------------------------------
  // REQUIRES: watch is not linked; watch.waiter, wake_offset and counted_visible are set.
  void add_watch(Watch& watch) EXCLUDES(watch_mutex_);
  /// Does nothing when the watch is not linked.
  void remove_watch(Watch& watch) EXCLUDES(watch_mutex_);

  /// Serves no more: everybody who waits is woken and finds deleted().
  void mark_deleted();

  /// Progress of this partition's group commit; belongs to the Flusher.
  enum class FlushState : uint8_t { kIdle, kQueued, kRunning, kRunningAndWantedAgain };
  std::atomic<FlushState>& flush_state() { return flush_state_; }

 private:
  /// Where an append waits for the disk, or for another that does.
  Result<storage::AppendInfo> write(const storage::AppendBatch& batch);
  void publish(int64_t high_watermark, uint64_t visible_bytes);
  void wake_watches(bool all) EXCLUDES(watch_mutex_);
  bool is_due(Watch& watch, int64_t high_watermark, uint64_t visible) const REQUIRES(watch_mutex_);
  [[nodiscard]] ErrorCode check_leader_epoch(int32_t current_leader_epoch) const;
  /// REQUIRES: a log; the high watermark was loaded before.
  [[nodiscard]] int64_t stable_up_to(int64_t high_watermark) const {
    int64_t unstable = log_->first_unstable_offset();
    if (strikes<Bug::kEarlyStable>() && unstable < high_watermark) ++unstable;
    return unstable >= high_watermark ? high_watermark
                                      : std::max(unstable, log_->log_start_offset());
  }
  ErrorCode note_read_failure(const Error& error) const EXCLUDES(failure_mutex_);

  const std::shared_ptr<const TopicIdentity> topic_;
  const int32_t index_;
  const int32_t leader_epoch_;
  const std::unique_ptr<storage::Log> log_;

  std::atomic<int64_t> high_watermark_{0};
  /// Appends up to here asked for an fdatasync before they may be seen.
  std::atomic<int64_t> flush_wanted_{0};
  std::atomic<uint64_t> appended_bytes_{0};
  std::atomic<uint64_t> visible_bytes_{0};
  RecentTail recent_tail_;
  std::atomic<bool> deleted_{false};
  std::atomic<size_t> directory_{kNoDirectory};
  std::atomic<FlushState> flush_state_{FlushState::kIdle};

  mutable Mutex failure_mutex_;
  mutable std::string read_failure_ GUARDED_BY(failure_mutex_);  // that nobody has taken yet

  std::atomic<uint32_t> watch_count_{0};
  Mutex watch_mutex_;
  Watch* watches_ GUARDED_BY(watch_mutex_) = nullptr;
};

}  // namespace barnabas::dataplane
