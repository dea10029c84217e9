// The log directories of a broker (log.dirs, KIP-112): which are there, where each partition lies,
// where new ones go. One that fails, at the start or later, costs only the partitions in it.
//
// Ownership: owns a store for each directory, and the descriptors that all logs share; outlives the
// logs.
//
// Thread-safety: open(), make_new(), begin() and settle() one after the other, before anything
// else; then safe from every thread. What is not said to be quick may wait for a disk.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/thread_annotations.h"
#include "base/uuid.h"
#include "dataplane/directory_info.h"
#include "dataplane/partition_store.h"
#include "dataplane/partition_table.h"
#include "storage/fd_cache.h"
#include "storage/log.h"

namespace barnabas::dataplane {

class LogDirectories {
 public:
  /// How many partitions there are in each directory.
  using Counts = std::vector<size_t>;

  /// While it lives somebody makes or removes logs in a directory, or waits for it to let that be
  /// done.
  class AtWork {
   public:
    AtWork(LogDirectories& directories, size_t directory);
    ~AtWork();
    AtWork(const AtWork&) = delete;
    AtWork& operator=(const AtWork&) = delete;

   private:
    LogDirectories& directories_;
    const size_t directory_;
    std::multiset<int64_t>::iterator since_;
  };
  /// Work that takes longer says that the directory does not get on.
  static constexpr int64_t kPatienceNs = 1'000'000'000;

  /// A copy of a partition that was on its way to another directory.
  struct Future {
    size_t directory = 0;
    std::string path;
  };

  /// Opens the directories at `paths` that are there. One that cannot be opened is offline, unless
  /// it is the first (the metadata is in it), which is made, too. An error, too: one of another
  /// node or cluster, or a copy of another.
  static Result<std::unique_ptr<LogDirectories>> open(const std::vector<std::string>& paths,
                                                      const std::string& cluster_id,
                                                      int32_t node_id, Clock& clock);

  // -- quick --------------------------------------------------------------------------------------
  [[nodiscard]] size_t count() const { return slots_.size(); }
  [[nodiscard]] const std::string& path(size_t number) const { return slots_[number].path; }
  [[nodiscard]] std::optional<size_t> find(const std::string& path) const;
  [[nodiscard]] bool online(size_t number) const {
    return slots_[number].store != nullptr && !slots_[number].store->failed();
  }
  [[nodiscard]] bool all_online() const;
  /// REQUIRES: it could be opened.
  [[nodiscard]] PartitionStore& store(size_t number) const { return *slots_[number].store; }
  /// Null when it could not be opened.
  [[nodiscard]] PartitionStore* store_or_null(size_t number) const {
    return number < slots_.size() ? slots_[number].store.get() : nullptr;
  }
  /// Why it could not be opened; empty when it could.
  [[nodiscard]] const std::string& error(size_t number) const { return slots_[number].error; }
  /// Whether it is still to be made.
  [[nodiscard]] bool is_new(size_t number) const {
    return slots_[number].store == nullptr && slots_[number].error.empty();
  }

  // -- starting -----------------------------------------------------------------------------------
  /// Makes the directories that are new, but not at the path of one that is missing. That is
  /// offline; one at none of the paths counts from here on.
  void make_new(const std::vector<MissingDirectory>& missing);
  /// Where there are partitions in the directories that are online, by name.
  [[nodiscard]] Result<std::vector<PartitionPlace>> list_partitions() const;
  /// Removes what the directories that are online have of these topics, by the ids that are in it.
  /// Once all are online, and nothing has failed, nothing is left of them.
  Result<std::vector<DeletionFailure>> finish_deletions(std::span<const DeletedTopic> topics);
  /// PartitionStore::begin() of each, and a look at what is where.
  Status begin();
  /// Finds, or decides, in which directory a partition lies. One of which there is nothing but a
  /// whole copy gets that; of several that of this topic counts. kKafkaStorageError: it may be in
  /// a directory that is offline.
  /// REQUIRES: begin().
  Result<size_t> settle(const storage::TopicPartition& name, const Uuid& topic_id);
  /// The copies of a partition that is settled; each is given once.
  std::vector<Future> take_futures(const storage::TopicPartition& name);

  // -- partitions ---------------------------------------------------------------------------------
  [[nodiscard]] Counts counts(const PartitionTable& table) const;
  /// Where a partition is to be made that is new here: where it was asked for by prefer(), else
  /// where there are the fewest partitions, but not where work does not get on, unless it is so
  /// everywhere; never in one of `refused`. It counts as there until end_placing(). Quick.
  Result<size_t> place(const storage::TopicPartition& name, Counts counts,
                       const std::vector<size_t>& refused) EXCLUDES(mutex_);
  void end_placing(size_t directory) EXCLUDES(mutex_);
  /// A partition that is not there yet is to be made in this directory.
  void prefer(const storage::TopicPartition& name, size_t directory) EXCLUDES(mutex_);
  /// They are there.
  void end_preferring(const std::string& topic, const std::vector<int32_t>& partitions)
      EXCLUDES(mutex_);
  /// Renames the directory of a partition in the log directory at `path` to `…-stray`.
  Result<std::string> set_aside(const std::string& path, const storage::TopicPartition& name);
  /// Removes the directories of a partition that is not open. What says that it is of another topic
  /// stays.
  Status remove(const storage::TopicPartition& name, const Uuid& topic_id);

  /// Flushes and closes every log, `threads` at a time, writes the checkpoints and marks clean the
  /// directories where all went well. The error is that of the first log that could not be closed.
  Status close_all(const PartitionTable& table, int threads);
  /// Gives up the directories, clean or not, and closes their files: the last thing that is done
  /// with them.
  void release();

 private:
  struct Slot {
    std::string path;
    std::string error;
    std::unique_ptr<PartitionStore> store;  // null when it could not be opened
  };

  LogDirectories(std::vector<Slot> slots, size_t max_open_files, Clock& clock);

  Status open_slots(const std::string& cluster_id, int32_t node_id);
  Status open_slot(size_t number);
  [[nodiscard]] size_t home_of(const storage::TopicPartition& name, const Uuid& topic_id,
                               const std::vector<size_t>& places) const;
  /// A directory that cannot be looked at at the start is as one that could not be opened: only the
  /// first one's error is one.
  static Status offline_unless(PartitionStore& store, Status looked);
  /// Runs for every store that is online; the first error.
  template <class Work>
  Status each(const Work& work) const;
  /// The directories that are online, the one with the fewest partitions first.
  [[nodiscard]] std::vector<size_t> by_count(const Counts& counts) const;
  /// Whether work in it has taken too long already.
  [[nodiscard]] bool is_stuck(size_t directory) const REQUIRES(mutex_);
  Result<size_t> promote(const storage::TopicPartition& name, const Uuid& topic_id);

  storage::FdCache fds_;
  storage::LogDirIdentity identity_;  // of those that are new
  std::vector<Slot> slots_;           // constant after make_new()
  // What begin() found, and settle() added.
  std::map<storage::TopicPartition, std::vector<size_t>> homes_;
  std::map<storage::TopicPartition, std::vector<Future>> futures_;
  Counts settled_;

  Clock& clock_;
  Mutex mutex_;
  Counts coming_ GUARDED_BY(mutex_);  // placed, and not there yet
  // Since when, monotonic, by directory.
  std::vector<std::multiset<int64_t>> work_ GUARDED_BY(mutex_);
  std::map<storage::TopicPartition, size_t> preferred_ GUARDED_BY(mutex_);
};

}  // namespace barnabas::dataplane
