// Moves partitions to another log directory while they are in use (AlterReplicaLogDirs, KIP-113),
// on threads of its own (num.replica.alter.log.dirs.threads).
//
// A move copies the log to a `<topic>-<n>.<uuid>-future` directory, chunk by chunk, the moves that
// a thread has by turns; when little is left the log changes over (storage/log_move.cc). While it
// lasts the log is not compacted. A copy that the broker's stop finds is closed, and goes on
// growing after the next start if it ends as the log does there; that of a compacted topic begins
// anew then, as the log may be compacted before the copy is looked at. A move that fails is given
// up: its copy goes, the partition stays.
//
// Ownership: borrows table, directories and clock; they outlive stop().
//
// Thread-safety: safe from every thread. move() and resume() one at a time.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/thread_annotations.h"
#include "dataplane/io_rate.h"
#include "dataplane/log_directories.h"
#include "dataplane/partition_table.h"
#include "dataplane/settings.h"
#include "dataplane/worker_threads.h"

namespace barnabas::dataplane {

/// A copy as it is now.
struct MoveState {
  std::shared_ptr<Partition> partition;
  size_t directory = 0;  // where to
  int64_t copy_end_offset = 0;
  uint64_t copy_bytes = 0;
};

class PartitionMover {
 public:
  using PartitionPtr = std::shared_ptr<Partition>;

  PartitionMover(const PartitionTable& table, LogDirectories& directories, Clock& clock,
                 const EngineConfig& config);
  ~PartitionMover();  // stop()s
  PartitionMover(const PartitionMover&) = delete;
  PartitionMover& operator=(const PartitionMover&) = delete;

  void start() EXCLUDES(mutex_);
  /// Closes the copies as they are.
  void stop() EXCLUDES(mutex_);
  void set_max_bytes_per_second(int64_t bytes);

  /// Begins to move a partition, in place of a move to elsewhere. To where it lies: ends a move.
  /// REQUIRES: its log is open; the directory is online.
  Status move(const PartitionPtr& partition, size_t directory, const storage::LogConfig& config)
      EXCLUDES(mutex_);
  /// Goes on with the copy at `future`, or begins anew.
  void resume(const PartitionPtr& partition, const LogDirectories::Future& future,
              const storage::LogConfig& config) EXCLUDES(mutex_);
  /// Ends a move, if there is one, and does away with the copy: at return its directory has another
  /// name.
  Status cancel(const PartitionPtr& partition) EXCLUDES(mutex_);

  /// Quick. Once it says no, a partition that is marked deleted moves no more.
  [[nodiscard]] bool is_moving(const Partition& partition) const EXCLUDES(mutex_);
  [[nodiscard]] std::vector<MoveState> moves() const EXCLUDES(mutex_);
  /// Counts the copies among what is in the directories.
  void add_to(LogDirectories::Counts& counts) const EXCLUDES(mutex_);

 private:
  struct Move {
    PartitionPtr partition;
    size_t directory = 0;
    storage::LogConfig config;
    std::string future_path;             // of a copy that is still to be opened
    std::unique_ptr<storage::Log> copy;  // set and unset by its thread, with mutex_ held
    bool busy = false;                   // guarded by mutex_: a thread is at it
  };
  using MovePtr = std::shared_ptr<Move>;

  void run() EXCLUDES(mutex_);
  /// Whether a move is to be gone on with; false: the end.
  bool await_work() EXCLUDES(mutex_);
  /// Null when another thread was faster.
  MovePtr take() EXCLUDES(mutex_);
  void put_back(const MovePtr& move, bool done) EXCLUDES(mutex_);
  void add(MovePtr move) EXCLUDES(mutex_);
  /// Copies a chunk and, when little is left, finishes. Returns the bytes, 0 when it is done.
  Result<uint64_t> step(Move& move) EXCLUDES(mutex_);
  Result<std::unique_ptr<storage::Log>> open_copy(const Move& move);
  /// Makes most of the copy durable and copies what came meanwhile, so that little is left for when
  /// appends have to wait. False: too much came.
  Result<bool> come_close(Move& move);
  /// Whether it has changed over; not yet when too much came meanwhile.
  Result<bool> finish(Move& move) EXCLUDES(mutex_);
  void write_checkpoints(size_t directory);
  void give_up(Move& move, const Error& why) EXCLUDES(mutex_);
  /// Renames the copy away, to be removed later.
  Status discard_copy(Move& move) EXCLUDES(mutex_);
  void set_copy(Move& move, std::unique_ptr<storage::Log> copy) EXCLUDES(mutex_);

  const PartitionTable& table_;
  LogDirectories& directories_;
  const size_t threads_wanted_;
  IoRate rate_;
  std::atomic<uint64_t> chunk_bytes_;  // copied in one go
  WorkerThreads threads_;

  mutable Mutex mutex_;
  ConditionVariable changed_;
  std::deque<MovePtr> moves_ GUARDED_BY(mutex_);  // the one whose turn is next first
  bool stopping_ GUARDED_BY(mutex_) = false;
};

}  // namespace barnabas::dataplane
