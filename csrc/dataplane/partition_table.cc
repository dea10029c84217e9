#include "dataplane/partition_table.h"

#include <utility>

#include "dataplane/settings.h"

namespace barnabas::dataplane {

void Topic::place(std::shared_ptr<Partition> partition) {
  const auto index = static_cast<size_t>(partition->index());
  if (partitions.size() <= index) partitions.resize(index + 1);
  partitions[index] = std::move(partition);
}

std::shared_ptr<Topic> make_topic(const std::string& name, const Uuid& id,
                                  const storage::LogConfig& config) {
  auto topic = std::make_shared<Topic>();
  topic->identity = std::make_shared<const TopicIdentity>(TopicIdentity{name, id});
  topic->config = config;
  topic->validation = validation_policy(config);
  topic->validation.topic = topic->identity->name;
  return topic;
}

std::shared_ptr<Topic> reconfigured(const Topic& topic, const storage::LogConfig& config) {
  auto changed = make_topic(topic.identity->name, topic.identity->id, config);
  changed->identity = topic.identity;
  changed->validation.topic = topic.identity->name;
  changed->partitions = topic.partitions;
  for (const auto& partition : changed->partitions) {
    if (partition != nullptr && partition->log() != nullptr) partition->log()->set_config(config);
  }
  return changed;
}

TopicPtr PartitionTable::find(std::string_view name) const {
  ReaderLock lock(mutex_);
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : found->second;
}

TopicPtr PartitionTable::find(const Uuid& id) const {
  ReaderLock lock(mutex_);
  const auto found = by_id_.find(id);
  return found == by_id_.end() ? nullptr : found->second;
}

std::shared_ptr<Partition> PartitionTable::find(std::string_view name, int32_t partition) const {
  const TopicPtr topic = find(name);
  const auto* found = topic == nullptr ? nullptr : topic->find(partition);
  return found == nullptr ? nullptr : *found;
}

void PartitionTable::put(TopicPtr topic) {
  WriterLock lock(mutex_);
  auto& place = by_name_[topic->identity->name];
  if (place != nullptr) by_id_.erase(place->identity->id);
  if (!topic->identity->id.is_zero()) by_id_[topic->identity->id] = topic;
  place = std::move(topic);
  changes_.fetch_add(1, std::memory_order_release);
}

TopicPtr PartitionTable::remove(std::string_view name) {
  WriterLock lock(mutex_);
  const auto found = by_name_.find(name);
  if (found == by_name_.end()) return nullptr;
  TopicPtr topic = std::move(found->second);
  by_name_.erase(found);
  by_id_.erase(topic->identity->id);
  changes_.fetch_add(1, std::memory_order_release);
  return topic;
}

std::vector<TopicPtr> PartitionTable::topics() const {
  ReaderLock lock(mutex_);
  std::vector<TopicPtr> all;
  all.reserve(by_name_.size());
  for (const auto& [name, topic] : by_name_) all.push_back(topic);
  return all;
}

std::vector<std::shared_ptr<Partition>> PartitionTable::partitions() const {
  std::vector<std::shared_ptr<Partition>> all;
  for_each([&all](const Topic&, const auto& partition) { all.push_back(partition); });
  return all;
}

}  // namespace barnabas::dataplane
