#include "dataplane/produce_handler.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "base/logger.h"
#include "dataplane/delayed_produce.h"
#include "record/batch.h"

namespace barnabas::dataplane {
namespace {

// Kafka lets only its admin client write to the internal topics.
constexpr std::string_view kAdminClientId = "__admin_client";
// Even a request that sets no timeout waits this long for an fdatasync: in Kafka the flush is part
// of the append and has no timeout at all.
constexpr int64_t kMinFlushWaitMs = 30'000;
constexpr int16_t kFirstZstdVersion = 7;

bool is_internal(std::string_view topic) {
  return topic == "__consumer_offsets" || topic == "__transaction_state" ||
         topic == "__share_group_state";
}

ProducePartitionResult refused(ErrorCode error) {
  ProducePartitionResult result;
  result.error = error;
  return result;
}

ProducePartitionResult refused(Error error, const Partition& partition) {
  ProducePartitionResult result = refused(error.code);
  result.message = std::move(error.message);
  switch (result.error) {
    case ErrorCode::kUnknownTopicOrPartition:
    case ErrorCode::kMessageTooLarge:
    case ErrorCode::kRecordListTooLarge:
    case ErrorCode::kCorruptMessage:
    case ErrorCode::kKafkaStorageError:
      break;
    default:
      result.log_start_offset = partition.log_start_offset();
  }
  return result;
}

/// The header of the first batch, when it is there and of the one format with these fields.
std::optional<record::BatchView> header_of(ByteView records) {
  if (records.size() < record::kBatchHeaderSize) return std::nullopt;
  const record::BatchView batch(records);
  return batch.magic() == record::kMagic ? std::optional(batch) : std::nullopt;
}

// Transactional records without a transactional id: Kafka authorises nobody to write them.
bool has_orphaned_transaction(const ProduceRequest& request) {
  if (request.transactional_id.has_value()) return false;
  return std::any_of(request.partitions.begin(), request.partitions.end(),
                     [](const auto& partition) {
                       const auto batch = header_of(partition.records.value_or(MutableBytes{}));
                       return batch.has_value() && batch->is_transactional();
                     });
}

// What can be told from the request's version and the batch's header, before it is validated.
Status check_header(ByteView records, int16_t version) {
  if (records.empty()) {
    return Error{ErrorCode::kInvalidRecord, "there must be one record batch per partition"};
  }
  const auto batch = header_of(records);
  if (!batch.has_value()) return {};  // validation says what is wrong with it
  if (version < kFirstZstdVersion &&
      batch->codec_id() == static_cast<uint8_t>(record::Codec::kZstd)) {
    return Error{ErrorCode::kUnsupportedCompressionType,
                 "zstd needs Produce version " + std::to_string(kFirstZstdVersion)};
  }
  if (batch->is_transactional()) {
    return Error{ErrorCode::kInvalidTxnState, "the partition was not added to the transaction"};
  }
  return {};
}

}  // namespace

ProduceHandler::ProduceHandler(const PartitionTable& table, Purgatory& purgatory, Flusher& flusher,
                               net::Server& server, Clock& clock, size_t reactor_count)
    : table_(table),
      purgatory_(purgatory),
      flusher_(flusher),
      server_(server),
      clock_(clock),
      scratch_(reactor_count) {}

net::Admission ProduceHandler::handle(const net::Request& request) {
  Scratch& scratch = scratch_[request.token.reactor];
  scratch.results.clear();
  scratch.waiting.clear();
  if (request.api_version < 0 || request.api_version > kProduceMaxVersion ||
      !scratch.request.parse(request.body, request.api_version)) {
    log(LogLevel::kInfo, "produce",
        "ill-formed request of version " + std::to_string(request.api_version) + " from " +
            std::string(request.peer_host) + ": closing the connection");
    server_.respond(request.token, net::Response::close());
    return net::Admission::kTaken;
  }
  purgatory_.begin_request(request.token.reactor);
  append_all(request, scratch);
  answer(request, scratch);
  scratch.waiting.clear();
  purgatory_.end_request(request.token.reactor);
  return net::Admission::kTaken;
}

void ProduceHandler::append_all(const net::Request& request, Scratch& scratch) {
  const ProduceRequest& produce = scratch.request;
  const int16_t version = request.api_version;
  const bool by_id = version >= kProduceFirstTopicIdVersion;
  const bool orphaned = has_orphaned_transaction(produce);
  const bool valid_acks = produce.acks >= -1 && produce.acks <= 1;
  scratch.results.reserve(produce.partitions.size());
  size_t next = 0;
  for (const auto& named : produce.topics) {
    const TopicPtr topic = by_id ? table_.find(named.id) : table_.find(named.name);
    for (size_t i = 0; i < named.partition_count; ++i, ++next) {
      const ProducePartition& partition = produce.partitions[next];
      const auto add = [&scratch](ProducePartitionResult result) {
        scratch.results.push_back(std::move(result));
      };
      if (version < kProduceFirstServedVersion) {
        add(refused(ErrorCode::kUnsupportedVersion));
      } else if (orphaned) {
        add(refused(ErrorCode::kTransactionalIdAuthorizationFailed));
      } else if (topic == nullptr && by_id) {
        add(refused(ErrorCode::kUnknownTopicId));
      } else if (topic == nullptr || topic->find(partition.index) == nullptr) {
        add(refused(ErrorCode::kUnknownTopicOrPartition));
      } else if (!valid_acks) {
        add(refused(ErrorCode::kInvalidRequiredAcks));
      } else if (is_internal(topic->identity->name) && request.client_id != kAdminClientId) {
        add(refused(ErrorCode::kInvalidTopicException));
      } else {
        add(append_one(*topic, partition, version, scratch));
      }
    }
  }
}

ProducePartitionResult ProduceHandler::append_one(const Topic& topic, const ProducePartition& named,
                                                  int16_t version, Scratch& scratch) {
  const std::shared_ptr<Partition>& partition = *topic.find(named.index);
  const MutableBytes records = named.records.value_or(MutableBytes{});
  if (Status status = check_header(records, version); !status.ok()) {
    return refused(std::move(status).error(), *partition);
  }
  record::ValidationPolicy policy = topic.validation;
  policy.partition = named.index;
  auto checked = record::validate_batch(records, policy, clock_.wall_ms());
  if (auto* failure = std::get_if<record::ValidationFailure>(&checked)) {
    auto result = refused(std::move(failure->error), *partition);
    result.record_errors = std::move(failure->record_errors);
    return result;
  }
  auto& valid = std::get<record::ValidatedBatch>(checked);
  const storage::AppendBatch batch{valid.bytes};
  auto appended = partition->append(batch, flusher_);
  if (!appended.ok()) return refused(std::move(appended).error(), *partition);
  batches_appended_.fetch_add(1, std::memory_order_relaxed);

  ProducePartitionResult result;
  result.base_offset = appended->base_offset;
  result.log_append_time_ms = appended->log_append_time_ms;
  result.log_start_offset = appended->log_start_offset;
  if (partition->high_watermark() <= appended->last_offset) {
    scratch.waiting.push_back({partition, appended->last_offset + 1, scratch.results.size()});
  }
  return result;
}

void ProduceHandler::answer(const net::Request& request, Scratch& scratch) {
  const ProduceRequest& produce = scratch.request;
  if (produce.acks == 0) {
    const bool failed = std::any_of(scratch.results.begin(), scratch.results.end(),
                                    [](const auto& r) { return r.error != ErrorCode::kNone; });
    if (failed) {
      log(LogLevel::kInfo, "produce",
          "error in a request with acks=0 from " + std::string(request.peer_host) +
              ": closing the connection");
    }
    server_.respond(request.token, failed ? net::Response::close() : net::Response::none());
    return;
  }
  net::Bytes response = encode_produce_response(request.correlation_id, request.api_version,
                                                produce, scratch.results);
  if (scratch.waiting.empty()) {
    server_.respond(request.token, net::Response::of(std::move(response)));
    return;
  }
  std::vector<DelayedProduce::Pending> pending;
  pending.reserve(scratch.waiting.size());
  for (auto& appended : scratch.waiting) {
    pending.push_back({std::move(appended.partition), appended.required_offset,
                       scratch.results[appended.result].error_position});
  }
  const auto delayed = std::make_shared<DelayedProduce>(purgatory_, server_, request.token,
                                                        std::move(response), std::move(pending));
  const int64_t wait_ms = std::max<int64_t>(produce.timeout_ms, kMinFlushWaitMs);
  delayed->start(clock_.monotonic_ns() + wait_ms * 1'000'000);
}

}  // namespace barnabas::dataplane
