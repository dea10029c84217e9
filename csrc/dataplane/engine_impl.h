// The one implementation of Engine. Spread over engine.cc (life, network), engine_topics.cc
// (changes of topics), engine_directories.cc (log directories), engine_fork.cc (forks),
// engine_partitions.cc (what is asked of one partition), engine_in_process.cc (what clients in this
// process ask) and engine_faults.cc (requests that a test lets go wrong).
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/log_limiter.h"
#include "base/thread_annotations.h"
#include "dataplane/append_threads.h"
#include "dataplane/control_queue.h"
#include "dataplane/delete_records.h"
#include "dataplane/directory_pools.h"
#include "dataplane/durable_waiters.h"
#include "dataplane/engine.h"
#include "dataplane/fetch_handler.h"
#include "dataplane/flusher.h"
#include "dataplane/log_directories.h"
#include "dataplane/partition_mover.h"
#include "dataplane/partition_table.h"
#include "dataplane/produce_handler.h"
#include "dataplane/purgatory.h"
#include "dataplane/request_faults.h"
#include "dataplane/upkeep.h"
#include "net/server.h"

namespace barnabas::dataplane {

class PromptOutcomes;

class EngineImpl final : public Engine, private net::RequestHandler {
 public:
  EngineImpl(EngineConfig config, Clock& clock);
  ~EngineImpl() override { (void)stop(0, LogsAtStop::kClosed); }

  Status open_queue() { return queue_.open(); }

  Result<std::vector<DirectoryIdentity>> open_directories(const std::vector<std::string>& paths,
                                                          const std::string& cluster_id,
                                                          int32_t node_id) override;
  Result<std::vector<DirectoryIdentity>> make_directories(
      const std::vector<MissingDirectory>& missing) override;
  std::vector<DirectoryState> directory_states() override;
  Result<std::vector<PartitionPlace>> list_partition_directories() override {
    BARNABAS_TRY(check_open());
    return directories_->list_partitions();
  }
  Result<std::string> set_aside_directory(const std::string& log_directory,
                                          const storage::TopicPartition& name) override {
    BARNABAS_TRY(check_open());
    return directories_->set_aside(log_directory, name);
  }
  Result<std::vector<DeletionFailure>> finish_deletions(
      std::span<const DeletedTopic> topics) override;
  Result<std::vector<LoadReport>> load_partitions(
      std::span<const PartitionSpec> partitions,
      const std::map<std::string, SettingMap>& configs) override;

  Status fork(const std::vector<std::string>& paths, bool durable) override;

  Result<uint16_t> listen(const std::string& host, uint16_t port) override {
    return server_->listen(host, port);
  }
  Status start() override;
  Status stop(int64_t grace_ms, LogsAtStop logs) override;

  int control_fd() const override { return queue_.fd(); }
  std::vector<ControlRequest> take_requests(size_t limit) override;
  void respond(uint64_t token, std::vector<uint8_t> payload) override;
  void close_connection(uint64_t token) override;

  Change begin_creation(const std::string& topic, const Uuid& topic_id,
                        std::span<const std::pair<int32_t, int32_t>> partitions,
                        const SettingMap& config) override;
  Change begin_deletion(const std::string& topic) override;
  Status set_topic_config(const std::string& topic, const SettingMap& config) override;
  Status set_broker_config(const SettingMap& settings) override;

  Result<PartitionInfo> partition_info(std::string_view topic, int32_t partition) override;
  std::vector<PartitionInfo> partition_infos() override;
  Result<std::vector<ErrorCode>> alter_replica_log_dirs(
      std::span<const DirectoryAssignment> asked) override;
  Result<storage::TimestampOffset> offset_for_timestamp(std::string_view topic, int32_t partition,
                                                        int64_t timestamp_ms) override;
  Result<storage::TimestampOffset> max_timestamp_offset(std::string_view topic,
                                                        int32_t partition) override;
  Result<int32_t> epoch_for_offset(std::string_view topic, int32_t partition,
                                   int64_t offset) override;
  Result<storage::EpochEndOffset> end_offset_for_epoch(std::string_view topic, int32_t partition,
                                                       int32_t leader_epoch) override;
  std::vector<std::optional<ErrorCode>> append_all(std::span<const CoordinatorAppend> appends,
                                                   LateCallback on_late) override;
  void mark_verified(const TransactionalProducer& producer, std::string_view transactional_id,
                     std::span<const std::pair<std::string, int32_t>> partitions) override;
  Result<std::vector<storage::ProducerInfo>> producers(std::string_view topic,
                                                       int32_t partition) override;
  Result<std::vector<DeletedRecords>> delete_records(
      std::span<const RecordDeletion> asked) override {
    BARNABAS_TRY(check_open());
    return dataplane::delete_records(table_, *directories_, asked);
  }
  Result<TopicShape> topic_shape(std::string_view topic) override;
  [[nodiscard]] const std::atomic<uint64_t>& topic_changes() const override {
    return table_.changes();
  }
  Result<Produced> produce(std::string_view topic, int32_t partition,
                           const record::BuiltBatch& batch, storage::VerificationGuard guard,
                           DurableCallback on_durable) override;
  Result<storage::VerificationGuard> begin_transaction(std::string_view topic, int32_t partition,
                                                       const TransactionalProducer& producer,
                                                       int32_t base_sequence) override;
  Result<Fetched> fetch(std::string_view topic, int32_t partition, int64_t offset, size_t max_bytes,
                        bool read_committed, RawArray<uint8_t> memory,
                        const Uuid& topic_id) override;
  Result<std::unique_ptr<ReadySignal>> make_ready_signal(bool read_committed) override;
  int64_t now_ms() const override { return clock_.wall_ms(); }
  int64_t steady_ms() const override { return clock_.steady_ms() + set_before_ms_; }
  void run_due() override;
  uint64_t add_request_fault(RequestFault fault) override;
  void remove_request_fault(uint64_t id) override;
  std::pair<uint64_t, uint64_t> count_request_fault(uint64_t id) override;
  std::vector<std::pair<std::string, int64_t>> stats() override;

 private:
  net::Admission on_request(const net::Request& request) override {
    return faults_.any() ? on_struck_request(request) : serve(request);
  }
  net::Admission serve(const net::Request& request);
  net::Admission on_struck_request(const net::Request& request);
  net::Admission serve_unanswered(const net::Request& request, const RequestFaults::Strike& strike);
  /// Of a request that is struck: one that was not taken does not count.
  net::Admission counted(const RequestFaults::Strike& strike, net::Admission admission);
  void on_closed(const net::RequestToken& connection) override {
    purgatory_.drop_connection(connection);
    if (faults_.any()) faults_.forget(connection);
  }

  void on_displaced(uint32_t index, const void* partition) override {
    stalled_.begin_wait(*static_cast<const Partition*>(partition), kLongAgoNs);
    purgatory_.end_request(index);  // what the request has woken so far does not wait for it
  }
  void on_returned(const void* partition) override {
    if (stalled_.end_wait(*static_cast<const Partition*>(partition), kLongAgoNs)) {
      server_->resume_paused();
    }
  }

  [[nodiscard]] Status check_open() const {
    if (directories_ != nullptr) return {};
    return Error{ErrorCode::kUnknownServerError, "no data directory was opened"};
  }
  /// A topic's configuration with what the broker adds to it.
  storage::LogConfig as_broker_has_it(storage::LogConfig config) EXCLUDES(config_mutex_);
  /// The topic's typed configuration, with what the broker adds to it.
  Result<storage::LogConfig> topic_config(const SettingMap& settings) EXCLUDES(config_mutex_);
  struct Served {
    TopicPtr topic;
    std::shared_ptr<Partition> partition;
  };
  /// The partition, its log open, and the topic that it is of: looked up again by its name, that
  /// might be another one.
  Result<Served> find_served(std::string_view topic, int32_t partition) const;
  /// The partition alone.
  Result<std::shared_ptr<Partition>> find(std::string_view topic, int32_t partition) const;
  /// Ready for its thread.
  Result<AppendThreads::Append> prepare(const CoordinatorAppend& append);
  void run_append(AppendThreads::Append& append, const std::shared_ptr<PromptOutcomes>& outcomes);
  void note_refusal(const std::string& partition, const Error& error);
  std::shared_ptr<Partition> open_partition(const PartitionSpec& spec, const Topic& topic,
                                            const Result<size_t>& directory, LoadReport& report);
  /// Puts partitions that are new here into the table.
  void serve_new(const std::shared_ptr<Topic>& topic,
                 std::vector<std::shared_ptr<Partition>> partitions) EXCLUDES(topics_mutex_);
  /// For as many directories as there are.
  void make_mover();
  [[nodiscard]] std::vector<DirectoryIdentity> directory_identities() const;
  Status alter_directory(const DirectoryAssignment& asked) REQUIRES(moves_mutex_);
  /// What became of moves that were under way at the last stop.
  void resume_moves() REQUIRES(topics_mutex_);
  Status begin() REQUIRES(topics_mutex_);
  [[nodiscard]] Status check_forkable(const std::vector<std::string>& paths) const
      REQUIRES(topics_mutex_);
  Status close_logs();

  static constexpr int16_t kProduceKey = 0;
  static constexpr int16_t kFetchKey = 1;
  static constexpr int64_t kLongAgoNs = 0;

  Clock& clock_;
  const int64_t set_before_ms_ = clock_.set_by_ms();  // before this engine was made
  RequestFaults faults_;
  Mutex config_mutex_;
  EngineConfig config_ GUARDED_BY(config_mutex_);
  /// Serialises changes of the table: each reads a topic, changes a copy and puts it back. Held
  /// while the disk is waited for by the start and by forks only.
  Mutex topics_mutex_;
  Mutex moves_mutex_;  // moves begin and end one at a time

  // Declared in the order in which they lean on each other: destroyed the other way round.
  std::unique_ptr<LogDirectories> directories_;  // set once by open_directories
  PartitionTable table_;
  ControlQueue queue_;
  Flusher flusher_;
  DirectoryPools disk_threads_;
  FetchSessionCache sessions_;
  DurableWaiters durable_waiters_;
  AppendThreads append_threads_{
      [this](auto& append, const auto& outcomes) { run_append(append, outcomes); }};
  StalledDirectories stalled_;
  std::unique_ptr<net::Server> server_;
  Purgatory purgatory_;
  LogLimiter fetch_log_{"fetch"};
  LogLimiter append_log_{"coordinator"};
  ProduceHandler produce_;
  FetchHandler fetch_;
  std::unique_ptr<PartitionMover> mover_;  // set with directories_
  std::unique_ptr<Upkeep> upkeep_;         // set by start()

  std::atomic<bool> begun_{false};  // directories_->begin() was called
  std::atomic<bool> stopped_{false};
};

}  // namespace barnabas::dataplane
