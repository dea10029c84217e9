// What producers and consumers in this process ask of the engine.
#include <string>
#include <utility>
#include <variant>

#include "dataplane/engine_impl.h"
#include "dataplane/in_process.h"
#include "dataplane/ready_signal.h"
#include "record/builder.h"
#include "record/validate.h"

namespace barnabas::dataplane {

Result<TopicShape> EngineImpl::topic_shape(std::string_view topic) {
  const TopicPtr found = table_.find(topic);
  if (found == nullptr || found->partitions.empty()) {
    return Error{ErrorCode::kUnknownTopicOrPartition, "there is no topic " + std::string(topic)};
  }
  return TopicShape{found->identity->id, static_cast<int32_t>(found->partitions.size()),
                    found->config.max_message_bytes};
}

Result<Produced> EngineImpl::produce(std::string_view topic, int32_t partition,
                                     const record::BuiltBatch& batch,
                                     storage::VerificationGuard guard, DurableCallback on_durable) {
  BARNABAS_ASSIGN(const auto served, find_served(topic, partition));
  record::ValidationPolicy policy = served.topic->validation;
  policy.partition = partition;
  const int64_t now_ms = clock_.wall_ms();
  record::ValidatedBatch validated;
  validated.bytes = batch.bytes;
  if (!record::is_good_as_built(batch, policy, now_ms)) {
    auto checked = record::validate_batch(batch.bytes, policy, now_ms);
    if (auto* failure = std::get_if<record::ValidationFailure>(&checked)) {
      return std::move(failure->error);
    }
    validated = std::get<record::ValidatedBatch>(std::move(checked));
  }
  storage::AppendBatch append{validated.bytes};
  append.producer.guard = guard;
  BARNABAS_ASSIGN(const auto appended, served.partition->append(append, flusher_));
  if (on_durable != nullptr) {
    durable_waiters_.add(served.partition, appended.last_offset + 1, appended.base_offset,
                         std::move(on_durable));
  }
  return Produced{appended.base_offset, appended.log_append_time_ms};
}

Result<storage::VerificationGuard> EngineImpl::begin_transaction(
    std::string_view topic, int32_t partition, const TransactionalProducer& producer,
    int32_t base_sequence) {
  BARNABAS_ASSIGN(const auto found, find(topic, partition));
  BARNABAS_ASSIGN(const auto entrance, found->log()->begin_verification(producer.id, producer.epoch,
                                                                        base_sequence, true, {}));
  return entrance.guard;
}

Result<Fetched> EngineImpl::fetch(std::string_view topic, int32_t partition, int64_t offset,
                                  size_t max_bytes, bool read_committed, RawArray<uint8_t> memory,
                                  const Uuid& topic_id) {
  BARNABAS_ASSIGN(const auto found, find(topic, partition));
  if (!topic_id.is_zero() && found->topic().id != topic_id) {
    return Error{ErrorCode::kUnknownTopicId,
                 found->to_string() + " is of another topic of that name"};
  }
  return fetch_batches(
      *found, offset, max_bytes,
      read_committed ? IsolationLevel::kReadCommitted : IsolationLevel::kReadUncommitted,
      std::move(memory));
}

Result<std::unique_ptr<ReadySignal>> EngineImpl::make_ready_signal(bool read_committed) {
  return dataplane::make_ready_signal(table_, read_committed);
}

}  // namespace barnabas::dataplane
