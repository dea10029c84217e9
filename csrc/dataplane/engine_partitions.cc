// What is asked of one partition, by the broker loop and by handlers.
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/logger.h"
#include "dataplane/engine_impl.h"
#include "dataplane/in_process.h"
#include "dataplane/prompt_outcome.h"
#include "record/end_marker.h"

namespace barnabas::dataplane {
namespace {

// What the broker loop waits for an append that nothing is before: several times what one takes,
// and little beside what a heartbeat may wait.
constexpr std::chrono::microseconds kPromptAppend{1000};

Error unknown_partition(std::string_view topic, int32_t partition) {
  return Error{ErrorCode::kUnknownTopicOrPartition,
               "there is no partition " + std::string(topic) + "-" + std::to_string(partition)};
}

}  // namespace

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
  PartitionInfo info = info_of(*found);
  const size_t directory = found->directory();
  if (directory != Partition::kNoDirectory) info.directory = directories_->path(directory);
  return info;
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

Result<std::optional<int64_t>> EngineImpl::append_records(std::string_view topic, int32_t partition,
                                                          std::span<const KeyValueView> records,
                                                          int64_t timestamp_ms,
                                                          DurableCallback on_durable,
                                                          const TransactionalProducer& producer) {
  BARNABAS_ASSIGN(const auto found, find(topic, partition));
  const TopicPtr owner = table_.find(topic);
  if (owner == nullptr) return unknown_partition(topic, partition);
  BARNABAS_ASSIGN(auto bytes,
                  encode_batch(records, timestamp_ms, owner->config.max_message_bytes, producer));
  return append_as_coordinator(found, std::move(bytes), 0, std::move(on_durable));
}

Result<std::optional<int64_t>> EngineImpl::append_marker(std::string_view topic, int32_t partition,
                                                         const TransactionEnd& end,
                                                         DurableCallback on_durable) {
  BARNABAS_ASSIGN(const auto found, find(topic, partition));
  BARNABAS_ASSIGN(auto bytes,
                  record::encode_end_marker({end.commit, end.coordinator_epoch}, end.producer.id,
                                            end.producer.epoch, clock_.wall_ms()));
  return append_as_coordinator(found, std::move(bytes), end.transaction_version,
                               std::move(on_durable));
}

Result<std::optional<int64_t>> EngineImpl::append_as_coordinator(
    const std::shared_ptr<Partition>& partition, std::vector<uint8_t> bytes,
    int16_t transaction_version, DurableCallback on_durable) {
  if (on_durable == nullptr) {
    BARNABAS_ASSIGN(const auto appended, append_now(*partition, bytes, transaction_version));
    return std::optional(appended.base_offset);
  }
  const auto outcome = std::make_shared<PromptOutcome>(std::move(on_durable));
  const auto place = append_threads_.submit(
      partition,
      [this, partition, bytes = std::move(bytes), transaction_version, outcome]() mutable {
        append_queued(partition, bytes, transaction_version, outcome);
      },
      [outcome] { outcome->end_append(); });
  if (place == AppendThreads::Place::kNone) {
    return Error{ErrorCode::kNotLeaderOrFollower, "the broker stops"};
  }
  const bool is_prompt = place == AppendThreads::Place::kNext;
  outcome->wait(is_prompt ? kPromptAppend : std::chrono::microseconds(0));
  return std::optional<int64_t>();
}

Result<storage::AppendInfo> EngineImpl::append_now(Partition& partition, MutableBytes bytes,
                                                   int16_t transaction_version) {
  storage::AppendBatch batch;
  batch.bytes = bytes;
  batch.producer.origin = storage::AppendOrigin::kCoordinator;
  batch.producer.transaction_version = transaction_version;
  return partition.append(batch, flusher_);
}

void EngineImpl::append_queued(const std::shared_ptr<Partition>& partition, MutableBytes bytes,
                               int16_t transaction_version,
                               const std::shared_ptr<PromptOutcome>& outcome) {
  const auto appended = append_now(*partition, bytes, transaction_version);
  if (appended.ok()) {
    durable_waiters_.add(
        partition, appended->last_offset + 1, appended->base_offset,
        [outcome](ErrorCode error, int64_t base_offset) { outcome->tell(error, base_offset); });
    return;
  }
  append_log_.log(LogLevel::kError,
                  "append to " + partition->to_string() + " failed: " + appended.error().message,
                  clock_.monotonic_ns());
  outcome->tell(appended.error().code, -1);
}

void EngineImpl::mark_verified(const TransactionalProducer& producer,
                               std::span<const std::pair<std::string, int32_t>> partitions) {
  for (const auto& [topic, number] : partitions) {
    const auto found = find(topic, number);
    if (found.ok()) (*found)->log()->mark_verified(producer.id, producer.epoch);
  }
}

Result<std::vector<storage::ProducerInfo>> EngineImpl::producers(std::string_view topic,
                                                                 int32_t partition) {
  BARNABAS_ASSIGN(const auto found, find(topic, partition));
  return found->log()->producers();
}

}  // namespace barnabas::dataplane
