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
#include "dataplane/prompt_outcomes.h"
#include "record/end_marker.h"

namespace barnabas::dataplane {
namespace {

// What the broker loop waits for the appends of one of its passes that nothing is before: several
// times what they take, and little beside what a heartbeat may wait.
constexpr std::chrono::microseconds kPromptAppend{1000};

std::string named(std::string_view topic, int32_t partition) {
  return std::string(topic) + "-" + std::to_string(partition);
}

Error unknown_partition(std::string_view topic, int32_t partition) {
  return Error{ErrorCode::kUnknownTopicOrPartition,
               "there is no partition " + named(topic, partition)};
}

}  // namespace

Result<EngineImpl::Served> EngineImpl::find_served(std::string_view topic,
                                                   int32_t partition) const {
  TopicPtr owner = table_.find(topic);
  const auto* found = owner == nullptr ? nullptr : owner->find(partition);
  if (found == nullptr) return unknown_partition(topic, partition);
  if ((*found)->offline()) {
    return Error{ErrorCode::kKafkaStorageError, (*found)->to_string() + " is offline"};
  }
  return Served{std::move(owner), *found};
}

Result<std::shared_ptr<Partition>> EngineImpl::find(std::string_view topic,
                                                    int32_t partition) const {
  BARNABAS_ASSIGN(auto served, find_served(topic, partition));
  return std::move(served.partition);
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

std::vector<std::optional<ErrorCode>> EngineImpl::append_all(
    std::span<const CoordinatorAppend> appends, LateCallback on_late) {
  const auto outcomes = std::make_shared<PromptOutcomes>(appends.size(), std::move(on_late));
  std::vector<AppendThreads::Append> prepared;
  prepared.reserve(appends.size());
  for (size_t i = 0; i < appends.size(); ++i) {
    auto append = prepare(appends[i]);
    if (append.ok()) {
      prepared.push_back(std::move(append).value());
      prepared.back().index = i;
    } else {
      note_refusal(named(appends[i].topic, appends[i].partition), append.error());
      outcomes->tell(i, append.error().code);
    }
  }
  append_threads_.submit(std::move(prepared), outcomes);
  return outcomes->take(kPromptAppend);
}

Result<AppendThreads::Append> EngineImpl::prepare(const CoordinatorAppend& append) {
  BARNABAS_ASSIGN(auto served, find_served(append.topic, append.partition));
  if (const auto& end = append.marker; end.has_value()) {
    BARNABAS_ASSIGN(auto bytes, record::encode_end_marker({end->commit, end->coordinator_epoch},
                                                          end->producer.id, end->producer.epoch,
                                                          clock_.wall_ms()));
    return AppendThreads::Append{std::move(served.partition), std::move(bytes),
                                 end->transaction_version};
  }
  BARNABAS_ASSIGN(auto bytes,
                  encode_batch(append.records, clock_.wall_ms(),
                               served.topic->config.max_message_bytes, append.producer));
  return AppendThreads::Append{std::move(served.partition), std::move(bytes)};
}

void EngineImpl::run_append(AppendThreads::Append& append,
                            const std::shared_ptr<PromptOutcomes>& outcomes) {
  storage::AppendBatch batch;
  batch.bytes = append.bytes;
  batch.producer.origin = storage::AppendOrigin::kCoordinator;
  batch.producer.transaction_version = append.transaction_version;
  const auto appended = append.partition->append(batch, flusher_);
  if (!appended.ok()) {
    note_refusal(append.partition->to_string(), appended.error());
    outcomes->tell(append.index, appended.error().code);
    return;
  }
  durable_waiters_.add(
      append.partition, appended->last_offset + 1, appended->base_offset,
      [outcomes, index = append.index](ErrorCode error, int64_t) { outcomes->tell(index, error); });
}

void EngineImpl::note_refusal(const std::string& partition, const Error& error) {
  if (error.code == ErrorCode::kUnknownTopicOrPartition) return;  // a topic is gone: nobody's fault
  append_log_.log(LogLevel::kError, "append to " + partition + " failed: " + error.message,
                  clock_.monotonic_ns());
}

void EngineImpl::mark_verified(const TransactionalProducer& producer,
                               std::string_view transactional_id,
                               std::span<const std::pair<std::string, int32_t>> partitions) {
  for (const auto& [topic, number] : partitions) {
    const auto found = find(topic, number);
    if (!found.ok()) continue;
    (*found)->log()->mark_verified(producer.id, producer.epoch, transactional_id);
  }
}

Result<std::vector<storage::ProducerInfo>> EngineImpl::producers(std::string_view topic,
                                                                 int32_t partition) {
  BARNABAS_ASSIGN(const auto found, find(topic, partition));
  return found->log()->producers();
}

}  // namespace barnabas::dataplane
