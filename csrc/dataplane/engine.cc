#include "dataplane/engine.h"

#include <algorithm>
#include <atomic>
#include <utility>

#include "base/logger.h"
#include "base/thread_annotations.h"
#include "dataplane/control_queue.h"
#include "dataplane/delete_records.h"
#include "dataplane/disk_pool.h"
#include "dataplane/durable_waiters.h"
#include "dataplane/fetch_handler.h"
#include "dataplane/flusher.h"
#include "dataplane/in_process.h"
#include "dataplane/partition_store.h"
#include "dataplane/partition_table.h"
#include "dataplane/produce_handler.h"
#include "dataplane/purgatory.h"
#include "dataplane/upkeep.h"
#include "net/log_limiter.h"
#include "net/request_memory.h"
#include "net/server.h"

namespace barnabas::dataplane {
namespace {

constexpr int16_t kProduceKey = 0;
constexpr int16_t kFetchKey = 1;
// Cold fetches that wait for a disk thread; beyond it they try again a little later.
constexpr size_t kMaxQueuedDiskReads = 4096;

Error unknown_partition(std::string_view topic, int32_t partition) {
  return Error{ErrorCode::kUnknownTopicOrPartition,
               "there is no partition " + std::string(topic) + "-" + std::to_string(partition)};
}

size_t queued_bytes_limit(const EngineConfig& config) {
  return static_cast<size_t>(net::RequestMemory::limit_of(config.server.queued_max_request_bytes));
}

class EngineImpl final : public Engine, private net::RequestHandler {
 public:
  EngineImpl(EngineConfig config, Clock& clock)
      : clock_(clock),
        config_(config),
        queue_(static_cast<size_t>(config.queued_max_requests), queued_bytes_limit(config)),
        disk_pool_("bnb-disk", config.disk_threads, kMaxQueuedDiskReads),
        sessions_(static_cast<size_t>(config.fetch_session_cache_slots), clock),
        server_(net::Server::create(config.server, *this, clock)),
        purgatory_(*server_, static_cast<size_t>(config.server.reactor_threads)),
        produce_(table_, {*server_, purgatory_, disk_pool_, flusher_, clock},
                 static_cast<size_t>(config.server.reactor_threads)),
        fetch_(table_, {*server_, purgatory_, disk_pool_, sessions_, clock, fetch_log_},
               static_cast<size_t>(config.server.reactor_threads)) {
    fetch_.set_max_bytes(config.fetch_max_bytes);
  }
  ~EngineImpl() override { (void)stop(0); }

  Status open_queue() { return queue_.open(); }

  Result<DirectoryIdentity> open_directory(const std::string& path, const std::string& cluster_id,
                                           int32_t node_id) override;
  Result<std::vector<storage::TopicPartition>> list_partition_directories() override {
    BARNABAS_TRY(check_open());
    return store_->directory().list_partitions();
  }
  Result<std::string> set_aside_directory(const storage::TopicPartition& name) override {
    BARNABAS_TRY(check_open());
    return store_->set_aside(name);
  }
  Status delete_directory(const storage::TopicPartition& name) override;
  Result<std::vector<LoadReport>> load_partitions(
      std::span<const PartitionSpec> partitions,
      const std::map<std::string, SettingMap>& configs) override;

  Result<uint16_t> listen(const std::string& host, uint16_t port) override {
    return server_->listen(host, port);
  }
  Status start() override;
  Status stop(int64_t grace_ms) override;

  int control_fd() const override { return queue_.fd(); }
  std::vector<ControlRequest> take_requests(size_t limit) override;
  void respond(uint64_t token, std::vector<uint8_t> payload) override;
  void close_connection(uint64_t token) override;

  Status create_partitions(const std::string& topic, const Uuid& topic_id,
                           std::span<const std::pair<int32_t, int32_t>> partitions,
                           const SettingMap& config) override;
  Status delete_topic(const std::string& topic) override;
  Status set_topic_config(const std::string& topic, const SettingMap& config) override;
  Status set_broker_config(const SettingMap& settings) override;

  Result<PartitionInfo> partition_info(std::string_view topic, int32_t partition) override;
  std::vector<PartitionInfo> partition_infos() override;
  Result<storage::TimestampOffset> offset_for_timestamp(std::string_view topic, int32_t partition,
                                                        int64_t timestamp_ms) override;
  Result<storage::TimestampOffset> max_timestamp_offset(std::string_view topic,
                                                        int32_t partition) override;
  Result<int32_t> epoch_for_offset(std::string_view topic, int32_t partition,
                                   int64_t offset) override;
  Result<storage::EpochEndOffset> end_offset_for_epoch(std::string_view topic, int32_t partition,
                                                       int32_t leader_epoch) override;
  Result<int64_t> append_records(std::string_view topic, int32_t partition,
                                 std::span<const KeyValueView> records, int64_t timestamp_ms,
                                 DurableCallback on_durable) override;
  Result<std::vector<uint8_t>> read_batches(std::string_view topic, int32_t partition,
                                            int64_t offset, size_t max_bytes) override;
  Result<std::vector<DeletedRecords>> delete_records(
      std::span<const RecordDeletion> asked) override {
    BARNABAS_TRY(check_open());
    return dataplane::delete_records(table_, *store_, asked);
  }
  std::vector<std::pair<std::string, int64_t>> stats() override;

 private:
  net::Admission on_request(const net::Request& request) override;
  void on_closed(const net::RequestToken& connection) override {
    purgatory_.drop_connection(connection);
  }

  [[nodiscard]] Status check_open() const {
    if (store_ != nullptr) return {};
    return Error{ErrorCode::kUnknownServerError, "no data directory was opened"};
  }
  /// The topic's typed configuration, with what the broker adds to it.
  Result<storage::LogConfig> topic_config(const SettingMap& settings) EXCLUDES(config_mutex_);
  /// The partition, its log open.
  Result<std::shared_ptr<Partition>> find(std::string_view topic, int32_t partition) const;
  Status begin() REQUIRES(topics_mutex_);
  Status close_logs();

  Clock& clock_;
  Mutex config_mutex_;
  EngineConfig config_ GUARDED_BY(config_mutex_);
  /// Serialises changes of the table: each reads a topic, changes a copy and puts it back.
  Mutex topics_mutex_;

  // Declared in the order in which they lean on each other: destroyed the other way round.
  std::unique_ptr<PartitionStore> store_;  // set once by open_directory
  PartitionTable table_;
  ControlQueue queue_;
  Flusher flusher_;
  DiskPool disk_pool_;
  FetchSessionCache sessions_;
  DurableWaiters durable_waiters_;
  std::unique_ptr<net::Server> server_;
  Purgatory purgatory_;
  net::LogLimiter fetch_log_{"fetch"};
  ProduceHandler produce_;
  FetchHandler fetch_;
  std::unique_ptr<Upkeep> upkeep_;  // set by start()

  std::atomic<bool> begun_{false};  // store_->begin() was called
  std::atomic<bool> stopped_{false};
};

Result<DirectoryIdentity> EngineImpl::open_directory(const std::string& path,
                                                     const std::string& cluster_id,
                                                     int32_t node_id) {
  if (store_ != nullptr) {
    return Error{ErrorCode::kUnknownServerError, "a data directory is open already"};
  }
  BARNABAS_ASSIGN(auto store, PartitionStore::open(path, cluster_id, node_id, clock_));
  store_ = std::move(store);
  const storage::LogDir& directory = store_->directory();
  DirectoryIdentity identity;
  identity.path = directory.path();
  identity.cluster_id = directory.identity().cluster_id;
  identity.node_id = directory.identity().node_id;
  identity.directory_id = directory.identity().directory_id;
  identity.was_clean = directory.was_clean();
  fetch_.set_node_id(identity.node_id);
  return identity;
}

Status EngineImpl::delete_directory(const storage::TopicPartition& name) {
  BARNABAS_TRY(check_open());
  if (table_.find(name.topic, name.partition) != nullptr) {
    return Error{ErrorCode::kInvalidRequest, name.to_string() + " is being served"};
  }
  return store_->remove(name);
}

Result<std::vector<LoadReport>> EngineImpl::load_partitions(
    std::span<const PartitionSpec> partitions, const std::map<std::string, SettingMap>& configs) {
  BARNABAS_TRY(check_open());
  MutexLock topics_lock(topics_mutex_);
  std::map<std::string_view, std::shared_ptr<Topic>> topics;
  for (const auto& spec : partitions) {
    auto& topic = topics[spec.topic];
    if (topic != nullptr) continue;
    const auto settings = configs.find(spec.topic);
    BARNABAS_ASSIGN(const storage::LogConfig config,
                    topic_config(settings == configs.end() ? SettingMap{} : settings->second));
    topic = make_topic(spec.topic, spec.topic_id, config);
  }
  int threads = 1;
  {
    MutexLock lock(config_mutex_);
    threads = config_.recovery_threads;
  }
  // Nothing fails from here on: a directory that was begun is closed as one whose logs are known.
  BARNABAS_TRY(begin());
  std::vector<LoadReport> reports(partitions.size());
  std::vector<std::shared_ptr<Partition>> opened(partitions.size());
  parallel_for(threads, partitions.size(), [&](size_t i) {
    const PartitionSpec& spec = partitions[i];
    const Topic& topic = *topics.at(spec.topic);
    LoadReport& report = reports[i];
    report.topic = spec.topic;
    report.partition = spec.partition;
    auto log = store_->open_log({spec.topic, spec.partition}, spec.topic_id, topic.config);
    std::unique_ptr<storage::Log> usable;
    if (log.ok()) {
      usable = std::move(log).value();
      report.recovery = usable->recovery_report();
    } else {
      report.error = log.error().message;
    }
    opened[i] = std::make_shared<Partition>(topic.identity, spec.partition, spec.leader_epoch,
                                            std::move(usable));
  });
  for (size_t i = 0; i < partitions.size(); ++i) {
    topics.at(partitions[i].topic)->place(std::move(opened[i]));
  }
  for (auto& [name, topic] : topics) table_.put(std::move(topic));
  return reports;
}

Status EngineImpl::begin() {
  if (begun_) return {};
  BARNABAS_TRY(store_->begin());
  begun_ = true;
  return {};
}

Status EngineImpl::start() {
  BARNABAS_TRY(check_open());
  BARNABAS_TRY(server_->start());
  MutexLock lock(config_mutex_);
  upkeep_ = std::make_unique<Upkeep>(table_, *store_, flusher_, clock_, config_);
  upkeep_->start();
  return {};
}

Status EngineImpl::stop(int64_t grace_ms) {
  if (stopped_.exchange(true)) return {};
  purgatory_.stop();
  // The broker loop has stopped before: its clients go elsewhere at once, not after the grace.
  for (const net::RequestToken& request : queue_.stop()) {
    server_->respond(request, net::Response::close());
  }
  server_->stop(grace_ms);
  if (upkeep_ != nullptr) upkeep_->stop();
  disk_pool_.stop();
  flusher_.stop();
  durable_waiters_.fail_all(ErrorCode::kNotLeaderOrFollower);
  if (store_ == nullptr) return {};
  Status closed = close_logs();
  store_->release();
  return closed;
}

Status EngineImpl::close_logs() {
  int threads = 1;
  {
    MutexLock lock(config_mutex_);
    threads = config_.disk_threads;
  }
  if (!begun_) return {};  // the directory is as it was found
  BARNABAS_TRY(store_->close_all(table_, threads));
  return store_->mark_clean();
}

net::Admission EngineImpl::on_request(const net::Request& request) {
  if (request.api_key == kProduceKey) return produce_.handle(request);
  if (request.api_key == kFetchKey) return fetch_.handle(request);
  return queue_.offer(request);
}

std::vector<ControlRequest> EngineImpl::take_requests(size_t limit) {
  auto taken = queue_.take(limit);
  if (taken.resume) server_->resume_paused();
  return std::move(taken.requests);
}

void EngineImpl::respond(uint64_t token, std::vector<uint8_t> payload) {
  if (const auto request = queue_.redeem(token)) {
    server_->respond(*request, net::Response::of(std::move(payload)));
  }
}

void EngineImpl::close_connection(uint64_t token) {
  if (const auto request = queue_.redeem(token)) {
    server_->respond(*request, net::Response::close());
  }
}

Result<storage::LogConfig> EngineImpl::topic_config(const SettingMap& settings) {
  BARNABAS_ASSIGN(auto config, parse_log_config(settings));
  MutexLock lock(config_mutex_);
  config.producer_id_expiration_ms = config_.producer_id_expiration_ms;
  return config;
}

Status EngineImpl::create_partitions(const std::string& topic, const Uuid& topic_id,
                                     std::span<const std::pair<int32_t, int32_t>> partitions,
                                     const SettingMap& settings) {
  BARNABAS_TRY(check_open());
  BARNABAS_ASSIGN(const storage::LogConfig config, topic_config(settings));
  MutexLock lock(topics_mutex_);
  const TopicPtr existing = table_.find(topic);
  if (existing != nullptr && existing->identity->id != topic_id) {
    return Error{ErrorCode::kInconsistentTopicId, "topic " + topic + " exists with another id"};
  }
  std::vector<int32_t> indexes;
  for (const auto& [index, epoch] : partitions) {
    const bool taken = existing != nullptr && existing->find(index) != nullptr;
    if (index < 0 || taken || std::find(indexes.begin(), indexes.end(), index) != indexes.end()) {
      return Error{ErrorCode::kTopicAlreadyExists,
                   "partition " + topic + "-" + std::to_string(index) + " cannot be created"};
    }
    indexes.push_back(index);
  }
  BARNABAS_TRY(begin());
  BARNABAS_TRY(store_->forget(topic, indexes, table_));
  BARNABAS_ASSIGN(auto logs, store_->create_logs(topic, topic_id, indexes, config));

  auto changed =
      existing == nullptr ? make_topic(topic, topic_id, config) : reconfigured(*existing, config);
  for (size_t i = 0; i < logs.size(); ++i) {
    changed->place(std::make_shared<Partition>(changed->identity, partitions[i].first,
                                               partitions[i].second, std::move(logs[i])));
  }
  table_.put(std::move(changed));
  return {};
}

Status EngineImpl::delete_topic(const std::string& topic) {
  BARNABAS_TRY(check_open());
  MutexLock lock(topics_mutex_);
  const TopicPtr removed = table_.remove(topic);
  if (removed == nullptr) {
    return Error{ErrorCode::kUnknownTopicOrPartition, "there is no topic " + topic};
  }
  Status first;
  for (const auto& partition : removed->partitions) {
    if (partition == nullptr) continue;
    partition->mark_deleted();
    Status status;
    if (partition->log() == nullptr) {
      status = store_->remove({topic, partition->index()});
    } else {
      status = partition->log()->mark_deleted();
      if (status.ok()) {
        store_->remove_later(partition->log()->directory(), removed->config.file_delete_delay_ms);
      }
    }
    if (!status.ok() && first.ok()) first = std::move(status);
  }
  return first;
}

Status EngineImpl::set_topic_config(const std::string& topic, const SettingMap& settings) {
  BARNABAS_ASSIGN(const storage::LogConfig config, topic_config(settings));
  MutexLock lock(topics_mutex_);
  const TopicPtr existing = table_.find(topic);
  if (existing == nullptr) {
    return Error{ErrorCode::kUnknownTopicOrPartition, "there is no topic " + topic};
  }
  table_.put(reconfigured(*existing, config));
  return {};
}

Status EngineImpl::set_broker_config(const SettingMap& settings) {
  BARNABAS_ASSIGN(const EngineConfig config, parse_engine_config(settings));
  server_->set_config(config.server);
  queue_.set_limits(static_cast<size_t>(config.queued_max_requests), queued_bytes_limit(config));
  sessions_.set_limit(static_cast<size_t>(config.fetch_session_cache_slots));
  fetch_.set_max_bytes(config.fetch_max_bytes);
  if (upkeep_ != nullptr) upkeep_->set_config(config);
  {
    MutexLock lock(config_mutex_);
    config_ = config;
  }
  MutexLock lock(topics_mutex_);
  for (const auto& topic : table_.topics()) {
    if (topic->config.producer_id_expiration_ms == config.producer_id_expiration_ms) continue;
    storage::LogConfig changed = topic->config;
    changed.producer_id_expiration_ms = config.producer_id_expiration_ms;
    table_.put(reconfigured(*topic, changed));
  }
  return {};
}

Result<std::shared_ptr<Partition>> EngineImpl::find(std::string_view topic,
                                                    int32_t partition) const {
  auto found = table_.find(topic, partition);
  if (found == nullptr) return unknown_partition(topic, partition);
  if (found->offline()) {
    return Error{ErrorCode::kKafkaStorageError, found->to_string() + " is offline"};
  }
  return found;
}

Result<PartitionInfo> EngineImpl::partition_info(std::string_view topic, int32_t partition) {
  BARNABAS_ASSIGN(const auto found, find(topic, partition));
  return info_of(*found);
}

std::vector<PartitionInfo> EngineImpl::partition_infos() {
  std::vector<PartitionInfo> infos;
  for (const auto& partition : table_.partitions()) infos.push_back(info_of(*partition));
  return infos;
}

Result<storage::TimestampOffset> EngineImpl::offset_for_timestamp(std::string_view topic,
                                                                  int32_t partition,
                                                                  int64_t timestamp_ms) {
  BARNABAS_ASSIGN(const auto found, find(topic, partition));
  BARNABAS_ASSIGN(const auto offset, found->log()->offset_for_timestamp(timestamp_ms));
  return offset.offset < found->high_watermark() ? offset : storage::TimestampOffset{};
}

Result<storage::TimestampOffset> EngineImpl::max_timestamp_offset(std::string_view topic,
                                                                  int32_t partition) {
  BARNABAS_ASSIGN(const auto found, find(topic, partition));
  return dataplane::max_timestamp_offset(*found);
}

Result<int32_t> EngineImpl::epoch_for_offset(std::string_view topic, int32_t partition,
                                             int64_t offset) {
  BARNABAS_ASSIGN(const auto found, find(topic, partition));
  return found->log()->epoch_for_offset(offset);
}

Result<storage::EpochEndOffset> EngineImpl::end_offset_for_epoch(std::string_view topic,
                                                                 int32_t partition,
                                                                 int32_t leader_epoch) {
  BARNABAS_ASSIGN(const auto found, find(topic, partition));
  return found->log()->end_offset_for_epoch(leader_epoch);
}

Result<int64_t> EngineImpl::append_records(std::string_view topic, int32_t partition,
                                           std::span<const KeyValueView> records,
                                           int64_t timestamp_ms, DurableCallback on_durable) {
  BARNABAS_ASSIGN(const auto found, find(topic, partition));
  const TopicPtr owner = table_.find(topic);
  if (owner == nullptr) return unknown_partition(topic, partition);
  BARNABAS_ASSIGN(auto bytes, encode_batch(records, timestamp_ms, owner->config.max_message_bytes));
  storage::AppendBatch batch;
  batch.bytes = bytes;
  BARNABAS_ASSIGN(const auto appended, found->append(batch, flusher_));
  if (on_durable != nullptr) {
    durable_waiters_.add(found, appended.last_offset + 1, appended.base_offset,
                         std::move(on_durable));
  }
  return appended.base_offset;
}

Result<std::vector<uint8_t>> EngineImpl::read_batches(std::string_view topic, int32_t partition,
                                                      int64_t offset, size_t max_bytes) {
  BARNABAS_ASSIGN(const auto found, find(topic, partition));
  return dataplane::read_batches(*found, offset, max_bytes);
}

std::vector<std::pair<std::string, int64_t>> EngineImpl::stats() {
  const net::ServerStats server = server_->stats();
  const auto count = [](auto value) { return static_cast<int64_t>(value); };
  return {{"connections", count(server.connections)},
          {"connections_total", count(server.connections_total)},
          {"requests_total", count(server.requests_total)},
          {"bytes_in", count(server.bytes_in)},
          {"bytes_out", count(server.bytes_out)},
          {"request_bytes", server.request_bytes},
          {"batches_appended", count(produce_.batches_appended())},
          {"flushes", count(flusher_.flush_count())},
          {"requests_parked", purgatory_.parked_count()},
          {"requests_parked_bytes", purgatory_.parked_bytes()},
          {"requests_queued", count(queue_.queued())},
          {"disk_reads", count(disk_pool_.submitted())},
          {"disk_reads_queued", count(disk_pool_.queued())},
          {"fetch_sessions", count(sessions_.size())},
          {"fetch_session_partitions", count(sessions_.partition_count())},
          {"fetch_session_bytes", count(sessions_.memory_bytes())}};
}

}  // namespace

Result<std::unique_ptr<Engine>> Engine::create(const SettingMap& settings, Clock& clock) {
  BARNABAS_ASSIGN(const EngineConfig config, parse_engine_config(settings));
  auto engine = std::make_unique<EngineImpl>(config, clock);
  BARNABAS_TRY(engine->open_queue());
  return std::unique_ptr<Engine>(std::move(engine));
}

}  // namespace barnabas::dataplane
