// What is asked of one partition, by the broker loop and by handlers.
#include <string>
#include <utility>

#include "dataplane/engine_impl.h"
#include "dataplane/in_process.h"
#include "record/end_marker.h"

namespace barnabas::dataplane {
namespace {

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
                                           int64_t timestamp_ms, DurableCallback on_durable,
                                           const TransactionalProducer& producer) {
  BARNABAS_ASSIGN(const auto found, find(topic, partition));
  const TopicPtr owner = table_.find(topic);
  if (owner == nullptr) return unknown_partition(topic, partition);
  BARNABAS_ASSIGN(auto bytes,
                  encode_batch(records, timestamp_ms, owner->config.max_message_bytes, producer));
  return append_as_coordinator(found, bytes, 0, std::move(on_durable));
}

Result<int64_t> EngineImpl::append_marker(std::string_view topic, int32_t partition,
                                          const TransactionEnd& end, DurableCallback on_durable) {
  BARNABAS_ASSIGN(const auto found, find(topic, partition));
  BARNABAS_ASSIGN(auto bytes,
                  record::encode_end_marker({end.commit, end.coordinator_epoch}, end.producer.id,
                                            end.producer.epoch, clock_.wall_ms()));
  return append_as_coordinator(found, bytes, end.transaction_version, std::move(on_durable));
}

Result<int64_t> EngineImpl::append_as_coordinator(const std::shared_ptr<Partition>& partition,
                                                  MutableBytes bytes, int16_t transaction_version,
                                                  DurableCallback on_durable) {
  storage::AppendBatch batch;
  batch.bytes = bytes;
  batch.producer.origin = storage::AppendOrigin::kCoordinator;
  batch.producer.transaction_version = transaction_version;
  BARNABAS_ASSIGN(const auto appended, partition->append(batch, flusher_));
  if (on_durable != nullptr) {
    durable_waiters_.add(partition, appended.last_offset + 1, appended.base_offset,
                         std::move(on_durable));
  }
  return appended.base_offset;
}

Result<std::vector<storage::ProducerInfo>> EngineImpl::producers(std::string_view topic,
                                                                 int32_t partition) {
  BARNABAS_ASSIGN(const auto found, find(topic, partition));
  return found->log()->producers();
}

}  // namespace barnabas::dataplane
