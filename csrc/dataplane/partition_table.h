// The topics this broker serves, by name and by id.
//
// Ownership: shares immutable Topic values with its readers; a change (another partition, another
// configuration) replaces the whole Topic.
//
// Thread-safety: safe from every thread; look-ups take the lock shared and hold it for one hash
// look-up.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/thread_annotations.h"
#include "base/uuid.h"
#include "dataplane/partition.h"
#include "record/validate.h"
#include "storage/log_config.h"

namespace barnabas::dataplane {

/// A topic as requests see it. Constant once it is in the table.
struct Topic {
  std::shared_ptr<const TopicIdentity> identity;
  storage::LogConfig config;
  record::ValidationPolicy validation;
  /// By partition index; null where this broker has no replica.
  std::vector<std::shared_ptr<Partition>> partitions;

  [[nodiscard]] const std::shared_ptr<Partition>* find(int32_t partition) const {
    if (partition < 0 || static_cast<size_t>(partition) >= partitions.size()) return nullptr;
    const auto& found = partitions[static_cast<size_t>(partition)];
    return found == nullptr ? nullptr : &found;
  }
  /// While the topic is being put together.
  void place(std::shared_ptr<Partition> partition);
};

using TopicPtr = std::shared_ptr<const Topic>;

std::shared_ptr<Topic> make_topic(const std::string& name, const Uuid& id,
                                  const storage::LogConfig& config);
/// A copy of `topic` with another configuration, which its logs are told.
std::shared_ptr<Topic> reconfigured(const Topic& topic, const storage::LogConfig& config);

class PartitionTable {
 public:
  /// Null when not there.
  [[nodiscard]] TopicPtr find(std::string_view name) const EXCLUDES(mutex_);
  [[nodiscard]] TopicPtr find(const Uuid& id) const EXCLUDES(mutex_);
  /// Null when the topic or the partition is not there.
  [[nodiscard]] std::shared_ptr<Partition> find(std::string_view name, int32_t partition) const;

  /// Puts `topic` in the place of what has its name.
  void put(TopicPtr topic) EXCLUDES(mutex_);
  /// Takes the topic out; null when it was not there.
  TopicPtr remove(std::string_view name) EXCLUDES(mutex_);
  [[nodiscard]] std::vector<TopicPtr> topics() const EXCLUDES(mutex_);
  /// visit(const Topic&, const std::shared_ptr<Partition>&) for each partition that is in the table
  /// at the call; without a lock of the table's.
  template <class Visit>
  void for_each(Visit visit) const EXCLUDES(mutex_) {
    for (const TopicPtr& topic : topics()) {
      for (const auto& partition : topic->partitions) {
        if (partition != nullptr) visit(*topic, partition);
      }
    }
  }
  [[nodiscard]] std::vector<std::shared_ptr<Partition>> partitions() const EXCLUDES(mutex_);
  /// Counts what was put in and taken out. Who reads it before a look-up knows afterwards whether
  /// that is still so.
  [[nodiscard]] const std::atomic<uint64_t>& changes() const { return changes_; }

 private:
  struct TextHash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
  };

  std::atomic<uint64_t> changes_{0};
  mutable SharedMutex mutex_;
  std::unordered_map<std::string, TopicPtr, TextHash, std::equal_to<>> by_name_ GUARDED_BY(mutex_);
  std::unordered_map<Uuid, TopicPtr> by_id_ GUARDED_BY(mutex_);
};

}  // namespace barnabas::dataplane
