// Changes of topics, and of the configuration of topics and broker.
#include <algorithm>
#include <cassert>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "dataplane/engine_impl.h"
#include "dataplane/partition_creation.h"
#include "dataplane/topic_deletion.h"
#include "net/request_memory.h"

namespace barnabas::dataplane {

storage::LogConfig EngineImpl::as_broker_has_it(storage::LogConfig config) {
  MutexLock lock(config_mutex_);
  config.producer_id_expiration_ms = config_.producer_id_expiration_ms;
  config.verify_transactions = config_.verify_transactions;
  return config;
}

Result<storage::LogConfig> EngineImpl::topic_config(const SettingMap& settings) {
  BARNABAS_ASSIGN(auto config, parse_log_config(settings));
  return as_broker_has_it(config);
}

Engine::Change EngineImpl::begin_creation(const std::string& topic, const Uuid& topic_id,
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
  LogDirectories::Counts counts = directories_->counts(table_);
  mover_->add_to(counts);
  const auto made =
      existing == nullptr ? make_topic(topic, topic_id, config) : reconfigured(*existing, config);
  auto creation = std::make_unique<PartitionCreation>(
      made->identity, config, table_, *directories_,
      [this, made](std::vector<std::shared_ptr<Partition>> created) {
        serve_new(made, std::move(created));
      });
  BARNABAS_TRY(creation->place(partitions, std::move(counts)));
  return std::unique_ptr<TopicChange>(std::move(creation));
}

void EngineImpl::serve_new(const std::shared_ptr<Topic>& topic,
                           std::vector<std::shared_ptr<Partition>> partitions) {
  MutexLock lock(topics_mutex_);
  const TopicPtr existing = table_.find(topic->identity->name);
  assert((existing != nullptr) == !topic->partitions.empty());
  // Its configuration, or the broker's, may have been changed meanwhile.
  const Topic& present = existing != nullptr ? *existing : *topic;
  const auto changed = reconfigured(present, as_broker_has_it(present.config));
  for (auto& partition : partitions) {
    partition->log()->set_config(changed->config);  // nobody else has it yet
    changed->place(std::move(partition));
  }
  table_.put(changed);
}

Engine::Change EngineImpl::begin_deletion(const std::string& topic) {
  BARNABAS_TRY(check_open());
  TopicPtr removed;
  {
    MutexLock lock(topics_mutex_);
    removed = table_.remove(topic);
  }
  if (removed == nullptr) {
    return Error{ErrorCode::kUnknownTopicOrPartition, "there is no topic " + topic};
  }
  for (const auto& partition : removed->partitions) {
    if (partition != nullptr) partition->mark_deleted();
  }
  return std::unique_ptr<TopicChange>(
      std::make_unique<TopicDeletion>(std::move(removed), *directories_, *mover_));
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
  queue_.set_limits(
      static_cast<size_t>(config.queued_max_requests),
      static_cast<size_t>(net::RequestMemory::limit_of(config.server.queued_max_request_bytes)));
  sessions_.set_limit(static_cast<size_t>(config.fetch_session_cache_slots));
  fetch_.set_max_bytes(config.fetch_max_bytes);
  if (upkeep_ != nullptr) upkeep_->set_config(config);
  if (mover_ != nullptr) mover_->set_max_bytes_per_second(config.move_max_bytes_per_second);
  {
    MutexLock lock(config_mutex_);
    config_ = config;
  }
  MutexLock lock(topics_mutex_);
  for (const auto& topic : table_.topics()) {
    if (topic->config.producer_id_expiration_ms == config.producer_id_expiration_ms &&
        topic->config.verify_transactions == config.verify_transactions) {
      continue;
    }
    storage::LogConfig changed = topic->config;
    changed.producer_id_expiration_ms = config.producer_id_expiration_ms;
    changed.verify_transactions = config.verify_transactions;
    table_.put(reconfigured(*topic, changed));
  }
  return {};
}

}  // namespace barnabas::dataplane
