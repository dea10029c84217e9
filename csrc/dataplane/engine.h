// The data plane of one broker: what stands behind Python's `_core.Core`. Owns the data directory,
// the partitions, the network server, the disk threads and the queue of control requests.
//
// Life: create, open_directories, make_directories where there may be several, load_partitions,
// listen, start, stop. stop() is final.
//
// Thread-safety: create, open_directories, start and stop are called one after the other, each once
// the one before has returned, and nothing else runs while open_directories or start do. Every
// other method may be called from any thread between open_directories and stop (listen and the
// control requests from create on). The methods that wait for a disk or a thread (open_directories,
// make_directories, load_partitions, finish_deletions, steps of a change, set_broker_config,
// alter_replica_log_dirs, fork, stop, the offset look-ups, fetch) must not be called from a
// reactor. What begins a change waits for a fork alone.
//
// Ownership: callbacks given to the engine are kept until they ran or stop() returned.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/raw_array.h"
#include "base/result.h"
#include "base/uuid.h"
#include "dataplane/control_request.h"
#include "dataplane/coordinator_append.h"
#include "dataplane/directory_info.h"
#include "dataplane/durable_callback.h"
#include "dataplane/in_process_client.h"
#include "dataplane/partition_info.h"
#include "dataplane/ready_signal.h"
#include "dataplane/record_deletion.h"
#include "dataplane/request_faults.h"
#include "dataplane/settings.h"
#include "dataplane/topic_change.h"
#include "storage/log.h"
#include "storage/topic_partition.h"

namespace barnabas::record {
struct BuiltBatch;
}  // namespace barnabas::record

namespace barnabas::dataplane {

/// What becomes of the logs when an engine stops.
enum class LogsAtStop : uint8_t { kClosed, kLeft };

class Engine {
 public:
  /// The clock outlives the engine.
  static Result<std::unique_ptr<Engine>> create(const SettingMap& settings,
                                                Clock& clock = system_clock());
  virtual ~Engine() = default;  // stops with no grace when stop() was not called

  // -- log directories --------------------------------------------------------------------------
  /// Opens those that are there, and the first one in any case. One that cannot be opened is
  /// offline, except the first: that is an error.
  virtual Result<std::vector<DirectoryIdentity>> open_directories(
      const std::vector<std::string>& paths, const std::string& cluster_id, int32_t node_id) = 0;
  /// Makes the new ones, but not at the path of one that is missing: what was in that is offline.
  /// One at none of the paths counts among the directories from here on.
  virtual Result<std::vector<DirectoryIdentity>> make_directories(
      const std::vector<MissingDirectory>& missing) = 0;
  virtual std::vector<DirectoryState> directory_states() = 0;
  /// Those in the log directories that are online, by partition.
  virtual Result<std::vector<PartitionPlace>> list_partition_directories() = 0;
  /// Renames a partition directory that is not to be served to `…-stray`; returns the new path.
  virtual Result<std::string> set_aside_directory(const std::string& log_directory,
                                                  const storage::TopicPartition& name) = 0;
  /// Removes what the directories that are online have of topics that are not loaded, copies too,
  /// by the ids that are in it; what does not say whose it is, by name, unless there is a namesake.
  virtual Result<std::vector<DeletionFailure>> finish_deletions(
      std::span<const DeletedTopic> topics) = 0;
  /// Opens or creates logs, many at a time; a partition that fails is reported and offline.
  virtual Result<std::vector<LoadReport>> load_partitions(
      std::span<const PartitionSpec> partitions,
      const std::map<std::string, SettingMap>& configs) = 0;

  // -- forks ------------------------------------------------------------------------------------
  /// Puts the partitions, as they are at one moment, into the directories at `paths`, which are
  /// there and have no partitions: one for each log directory, in their order. Files are linked
  /// where both lie on one file system, otherwise copied. The fork looks like what a clean stop
  /// leaves, with the identities of the directories that it comes from; `durable`: and stays so
  /// after a power cut. An error leaves there what there is, and says what is offline.
  virtual Status fork(const std::vector<std::string>& paths, bool durable) = 0;

  // -- network ----------------------------------------------------------------------------------
  virtual Result<uint16_t> listen(const std::string& host, uint16_t port) = 0;
  virtual Status start() = 0;
  /// Closes connections, flushes and closes every log, marks the clean stop. A second call does
  /// nothing. Not clean when a log could not be closed: the error says which. Logs that are left
  /// are neither flushed nor closed: they are going to be removed.
  virtual Status stop(int64_t grace_ms, LogsAtStop logs = LogsAtStop::kClosed) = 0;

  // -- time -------------------------------------------------------------------------------------
  /// The wall clock, ms.
  [[nodiscard]] virtual int64_t now_ms() const = 0;
  /// As Clock::steady_ms(), but of this engine's beginning: what was set before counts.
  [[nodiscard]] virtual int64_t steady_ms() const = 0;
  /// After a jump of the clock: what is due by it has been done when this returns, retention and
  /// compaction without waiting for their intervals. Between start and stop.
  virtual void run_due() = 0;

  // -- control requests -------------------------------------------------------------------------
  /// An eventfd, readable when take_requests() has something. Owned by the engine.
  [[nodiscard]] virtual int control_fd() const = 0;
  virtual std::vector<ControlRequest> take_requests(size_t limit) = 0;
  /// `payload`: response header and body, without the length prefix. An unknown token is ignored.
  virtual void respond(uint64_t token, std::vector<uint8_t> payload) = 0;
  virtual void close_connection(uint64_t token) = 0;

  // -- topics -----------------------------------------------------------------------------------
  // Topics are made and deleted by the steps of a change that has begun. No two of one topic at a
  // time.
  using Change = Result<std::unique_ptr<TopicChange>>;
  /// Makes logs for (partition, leader epoch), and serves them after the last step. All or nothing.
  virtual Change begin_creation(const std::string& topic, const Uuid& topic_id,
                                std::span<const std::pair<int32_t, int32_t>> partitions,
                                const SettingMap& config) = 0;
  /// Stops serving at once (what waits is answered kUnknownTopicOrPartition). The steps rename the
  /// directories to -delete, which are removed later. kUnknownTopicOrPartition when not there.
  virtual Change begin_deletion(const std::string& topic) = 0;
  virtual Status set_topic_config(const std::string& topic, const SettingMap& config) = 0;
  virtual Status set_broker_config(const SettingMap& settings) = 0;

  // -- partitions -------------------------------------------------------------------------------
  virtual Result<PartitionInfo> partition_info(std::string_view topic, int32_t partition) = 0;
  /// Copies that are on their way to another directory are among them.
  virtual std::vector<PartitionInfo> partition_infos() = 0;
  /// AlterReplicaLogDirs (KIP-113); an answer for each, in the same order. A move goes on after
  /// the answer.
  virtual Result<std::vector<ErrorCode>> alter_replica_log_dirs(
      std::span<const DirectoryAssignment> asked) = 0;
  virtual Result<storage::TimestampOffset> offset_for_timestamp(std::string_view topic,
                                                                int32_t partition,
                                                                int64_t timestamp_ms) = 0;
  virtual Result<storage::TimestampOffset> max_timestamp_offset(std::string_view topic,
                                                                int32_t partition) = 0;
  virtual Result<int32_t> epoch_for_offset(std::string_view topic, int32_t partition,
                                           int64_t offset) = 0;
  virtual Result<storage::EpochEndOffset> end_offset_for_epoch(std::string_view topic,
                                                               int32_t partition,
                                                               int32_t leader_epoch) = 0;
  /// Appends each batch as the leader with acks=all, stamped with the time it is now, behind what
  /// was appended to its partition before. Returns, in their order, what has come of each, once it
  /// is below the high watermark or will never be; nullopt when a millisecond for all of them was
  /// not enough: `on_late` is told, exactly once, on another thread, perhaps before the return. One
  /// that is refused refuses no other. A batch of a producer's transaction has no sequence, and
  /// nobody is asked whether the transaction is known. Errors of markers: kInvalidProducerEpoch,
  /// kTransactionCoordinatorFenced: a later one has been here.
  [[nodiscard]] virtual std::vector<std::optional<ErrorCode>> append_all(
      std::span<const CoordinatorAppend> appends, LateCallback on_late) = 0;
  /// The transaction coordinator has added these partitions to the producer's transaction: batches
  /// that come with its id need not be asked about. Those that are not here do not matter.
  virtual void mark_verified(const TransactionalProducer& producer,
                             std::string_view transactional_id,
                             std::span<const std::pair<std::string, int32_t>> partitions) = 0;
  /// The producers that the partition remembers, in no order.
  virtual Result<std::vector<storage::ProducerInfo>> producers(std::string_view topic,
                                                               int32_t partition) = 0;
  // -- producers and consumers in this process --------------------------------------------------
  /// kUnknownTopicOrPartition when it is not there.
  virtual Result<TopicShape> topic_shape(std::string_view topic) = 0;
  /// Goes up with every change of the topics: what topic_shape() said after it was read holds as
  /// long as it stays.
  [[nodiscard]] virtual const std::atomic<uint64_t>& topic_changes() const = 0;
  /// Appends one batch as Produce with acks=all does, and takes what that would take; `batch` may
  /// be patched. `on_durable` (may be empty) is called exactly once when this returned an offset,
  /// possibly before it returns, from this or a disk thread.
  virtual Result<Produced> produce(std::string_view topic, int32_t partition,
                                   const record::BuiltBatch& batch,
                                   storage::VerificationGuard guard,
                                   DurableCallback on_durable) = 0;
  /// Before a producer's first batch of a transaction in a partition, and before the transaction
  /// coordinator is asked to add it: what the batch is to bring with it. kNoGuard: the transaction
  /// is open there.
  virtual Result<storage::VerificationGuard> begin_transaction(
      std::string_view topic, int32_t partition, const TransactionalProducer& producer,
      int32_t base_sequence) = 0;
  /// Whole batches from the one holding `offset` on, `max_bytes` at most but one at least; none at
  /// the end: of what is committed, or with `read_committed` of what is decided. `memory` is where
  /// they are read to. `topic_id`: kUnknownTopicId when the topic of that name is another one now;
  /// zero takes any. Blocks on the disk.
  virtual Result<Fetched> fetch(std::string_view topic, int32_t partition, int64_t offset,
                                size_t max_bytes, bool read_committed,
                                RawArray<uint8_t> memory = {}, const Uuid& topic_id = {}) = 0;
  /// `read_committed`: of offsets that are decided.
  virtual Result<std::unique_ptr<ReadySignal>> make_ready_signal(bool read_committed) = 0;
  /// Moves log start offsets, see delete_records.h; an answer for each, in the same order.
  virtual Result<std::vector<DeletedRecords>> delete_records(
      std::span<const RecordDeletion> asked) = 0;

  // -- faults, see request_faults.h -------------------------------------------------------------
  /// Returns a number for the other calls.
  virtual uint64_t add_request_fault(RequestFault fault) = 0;
  virtual void remove_request_fault(uint64_t id) = 0;
  /// How many requests it concerned, and how many of them went wrong because of it.
  virtual std::pair<uint64_t, uint64_t> count_request_fault(uint64_t id) = 0;

  // -- observability ----------------------------------------------------------------------------
  virtual std::vector<std::pair<std::string, int64_t>> stats() = 0;
};

}  // namespace barnabas::dataplane
