#include "dataplane/produce_handler.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "dataplane/delayed_produce.h"
#include "dataplane/directory_pools.h"
#include "dataplane/produce_transaction.h"
#include "dataplane/verified_produce.h"
#include "record/batch.h"

namespace barnabas::dataplane {
namespace {

// Kafka lets only its admin client write to the internal topics.
constexpr std::string_view kAdminClientId = "__admin_client";
// Even a request that sets no timeout waits this long for an fdatasync: in Kafka the flush is part
// of the append and has no timeout at all.
constexpr int64_t kMinFlushWaitMs = 30'000;
constexpr int16_t kFirstZstdProduceVersion = 7;
// How often to see whether a log directory gets on again.
constexpr int64_t kStallRetryNs = 20'000'000;

ProducePartitionResult refused(Error error, const Partition& partition) {
  ProducePartitionResult result;
  result.error = error.code;
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

// Transactional records without a transactional id: Kafka authorises nobody to write them.
bool has_orphaned_transaction(const ProduceRequest& request) {
  if (request.transactional_id.has_value()) return false;
  return std::any_of(request.partitions.begin(), request.partitions.end(),
                     [](const auto& partition) {
                       const auto batch = header_of(partition);
                       return batch.has_value() && batch->is_transactional();
                     });
}

// What can be told from the request's version and the batch's header, before it is validated.
Status check_header(const ProducePartition& named, int16_t version) {
  if (named.records.value_or(MutableBytes{}).empty()) {
    return Error{ErrorCode::kInvalidRecord, "there must be one record batch per partition"};
  }
  const auto batch = header_of(named);
  if (!batch.has_value()) return {};  // validation says what is wrong with it
  if (version < kFirstZstdProduceVersion &&
      batch->codec_id() == static_cast<uint8_t>(record::Codec::kZstd)) {
    return Error{ErrorCode::kUnsupportedCompressionType,
                 "zstd needs Produce version " + std::to_string(kFirstZstdProduceVersion)};
  }
  return {};
}

}  // namespace

ProduceHandler::ProduceHandler(const PartitionTable& table, ProduceServices services,
                               size_t reactor_count)
    : table_(table), services_(services), scratch_(reactor_count) {}

net::Admission ProduceHandler::handle(const net::Request& request) {
  std::unique_ptr<ProduceJob> job = std::exchange(scratch_[request.token.reactor], nullptr);
  if (job == nullptr) job = std::make_unique<ProduceJob>();
  const net::Admission admission = handle(request, *job);
  scratch_[request.token.reactor] = std::move(job);
  return admission;
}

net::Admission ProduceHandler::handle(const net::Request& request, ProduceJob& job) {
  if (request.api_version < 0 || request.api_version > kProduceMaxVersion ||
      !job.request.parse(request.body, request.api_version)) {
    log_.log(LogLevel::kInfo,
             "ill-formed request of version " + std::to_string(request.api_version) + " from " +
                 std::string(request.peer_host) + ": closing the connection",
             request.received_ns);
    services_.server.respond(request.token, net::Response::close());
    return net::Admission::kTaken;
  }
  begin(request, job);
  if (touches_stalled(job)) return net::Admission::kBusy;
  if (job.request.transactional_id.has_value()) {
    if (auto question = check_transaction(table_, job)) {
      return ask_first(request, job, *std::move(question));
    }
  }
  services_.purgatory.begin_request(request.token.reactor);
  const bool done = append_all(job, std::nullopt);
  if (done) answer(job);
  services_.purgatory.end_request(request.token.reactor);
  if (done) return net::Admission::kTaken;
  move_to_disk_thread(MovedProduce::of(request, job));
  return net::Admission::kTakenAlone;
}

net::Admission ProduceHandler::ask_first(const net::Request& request, ProduceJob& job,
                                         TransactionQuestion question) {
  const auto waiting =
      std::make_shared<VerifiedProduce>(table_, services_, request.token, std::move(question),
                                        [this](const MovedProducePtr& moved) { resume(moved); });
  const net::Admission asked = waiting->ask();
  // Nothing has happened yet: the request is offered again, or its connection goes.
  if (asked == net::Admission::kBusy || asked == net::Admission::kReject) return asked;
  waiting->wait(MovedProduce::of(request, job));
  return net::Admission::kTakenAlone;
}

bool ProduceHandler::touches_stalled(const ProduceJob& job) const {
  if (!services_.stalled.any()) return false;
  const int64_t now_ns = services_.clock.monotonic_ns();
  return !job.visit_undone(table_, [&](const Topic* topic, const ProducePartition& named, size_t) {
    const auto* const partition = topic == nullptr ? nullptr : topic->find(named.index);
    return partition == nullptr || !services_.stalled.holds_up(**partition, now_ns);
  });
}

bool ProduceHandler::wait_out_stall(const MovedProducePtr& moved, Step next) {
  if (!touches_stalled(moved->job)) return false;
  services_.server.add_timer(moved->job.token.reactor,
                             services_.clock.monotonic_ns() + kStallRetryNs,
                             [this, moved, next] { (this->*next)(moved); });
  return true;
}

void ProduceHandler::resume(const MovedProducePtr& moved) {
  if (wait_out_stall(moved, &ProduceHandler::resume)) return;
  const uint32_t reactor = moved->job.token.reactor;
  services_.purgatory.begin_request(reactor);
  const bool done = append_all(moved->job, std::nullopt);
  if (done) answer(moved->job);
  services_.purgatory.end_request(reactor);
  if (!done) move_to_disk_thread(moved);
}

void ProduceHandler::begin(const net::Request& request, ProduceJob& job) {
  job.token = request.token;
  job.correlation_id = request.correlation_id;
  job.version = request.api_version;
  job.of_admin_client = request.client_id == kAdminClientId;
  job.peer_host = request.peer_host;
  job.checks.clear();
  job.results.clear();
  job.results.reserve(job.request.partitions.size());
  job.waiting.clear();
  job.inline_expansion_left = kMaxInlineExpandedBytes;
  job.expansion_left = std::max(kMaxExpandedBytes, kMaxExpansion * request.body.size());
  job.record_errors_left = kMaxRecordErrors;
}

bool ProduceHandler::append_all(ProduceJob& job, std::optional<size_t> directory) {
  const bool orphaned = has_orphaned_transaction(job.request);
  return job.visit_undone(table_, [&](const Topic* topic, const ProducePartition& named,
                                      size_t number) {
    ProducePartitionResult result;
    result.error = orphaned && job.version >= kProduceFirstServedVersion
                       ? ErrorCode::kTransactionalIdAuthorizationFailed
                       : job.check_partition(topic, named.index);
    if (result.error == ErrorCode::kNone && !job.checks.empty() &&
        job.checks[number].error != ErrorCode::kNone) {
      result.error = job.checks[number].error;
      result.message = job.checks[number].message;
    }
    if (result.error == ErrorCode::kNone && !append_one(*topic, named, directory, job, result)) {
      return false;
    }
    job.results.push_back(std::move(result));
    return true;
  });
}

bool ProduceHandler::append_one(const Topic& topic, const ProducePartition& named,
                                std::optional<size_t> directory, ProduceJob& job,
                                ProducePartitionResult& result) {
  const std::shared_ptr<Partition>& partition = *topic.find(named.index);
  job.next_directory = partition->directory();
  if (directory.value_or(job.next_directory) != job.next_directory) return false;
  const MutableBytes records = named.records.value_or(MutableBytes{});
  if (Status status = check_header(named, job.version); !status.ok()) {
    result = refused(std::move(status).error(), *partition);
    return true;
  }
  record::ValidationPolicy policy = topic.validation;
  policy.partition = named.index;
  policy.max_record_errors = std::min(policy.max_record_errors, job.record_errors_left);
  const auto batch_limit =
      static_cast<uint64_t>(record::default_max_decompressed_bytes(policy.max_message_bytes));
  const uint64_t limit = std::min(batch_limit, job.expansion_left);
  const uint64_t limit_here = directory ? limit : std::min(limit, job.inline_expansion_left);
  policy.max_decompressed_bytes = static_cast<int64_t>(std::max<uint64_t>(1, limit_here));
  auto checked = record::validate_batch(records, policy, services_.clock.wall_ms());
  if (auto* failure = std::get_if<record::ValidationFailure>(&checked)) {
    if (failure->expanded_bytes > limit_here && limit_here < limit) return false;
    job.expansion_left -= std::min(job.expansion_left, failure->expanded_bytes);
    job.inline_expansion_left -= std::min(job.inline_expansion_left, failure->expanded_bytes);
    result = refused(std::move(failure->error), *partition);
    result.record_errors = std::move(failure->record_errors);
    if (result.record_errors.size() > job.record_errors_left) result.record_errors.clear();
    job.record_errors_left -= result.record_errors.size();
    return true;
  }
  auto& valid = std::get<record::ValidatedBatch>(checked);
  job.expansion_left -= std::min(job.expansion_left, valid.expanded_bytes);
  job.inline_expansion_left -= std::min(job.inline_expansion_left, valid.expanded_bytes);
  storage::AppendBatch batch{valid.bytes};
  if (!job.checks.empty()) batch.producer.guard = job.checks[job.results.size()].guard;
  auto appended = directory ? append_on_disk_thread(*partition, batch)
                            : partition->append(batch, services_.flusher);
  if (!appended.ok()) {
    if (appended.error().sys_errno != 0) {  // of the disk: whoever runs the broker is to know
      log_.log(LogLevel::kError, "append to " + appended.error().message,
               services_.clock.monotonic_ns());
    }
    result = refused(std::move(appended).error(), *partition);
    return true;
  }
  batches_appended_.fetch_add(1, std::memory_order_relaxed);
  result.base_offset = appended->base_offset;
  result.log_append_time_ms = appended->log_append_time_ms;
  result.log_start_offset = appended->log_start_offset;
  if (partition->high_watermark() <= appended->last_offset) {
    job.waiting.push_back({partition, appended->last_offset + 1, job.results.size()});
  }
  return true;
}

Result<storage::AppendInfo> ProduceHandler::append_on_disk_thread(
    Partition& partition, const storage::AppendBatch& batch) {
  const int64_t stalls_from_ns = services_.clock.monotonic_ns() + StalledDirectories::kPatienceNs;
  services_.stalled.begin_wait(partition, stalls_from_ns);
  auto appended = partition.append(batch, services_.flusher);
  if (services_.stalled.end_wait(partition, stalls_from_ns)) {
    services_.server.resume_paused();
  }
  return appended;
}

void ProduceHandler::move_to_disk_thread(const MovedProducePtr& moved) {
  if (wait_out_stall(moved, &ProduceHandler::move_to_disk_thread)) return;
  const uint32_t reactor = moved->job.token.reactor;
  const size_t directory = moved->job.next_directory;
  const bool taken = services_.disk_threads.submit(directory, [this, moved, reactor, directory] {
    const bool done = append_all(moved->job, directory);
    services_.server.post(reactor, [this, moved, done] {
      if (done) {
        answer(moved->job);
      } else {
        move_to_disk_thread(moved);
      }
    });
  });
  if (taken) return;
  services_.server.add_timer(reactor, services_.clock.monotonic_ns() + kQueueRetryNs,
                             [this, moved] { move_to_disk_thread(moved); });
}

void ProduceHandler::answer(ProduceJob& job) {
  const ProduceRequest& produce = job.request;
  if (produce.acks == 0) {
    const bool failed = std::any_of(job.results.begin(), job.results.end(),
                                    [](const auto& r) { return r.error != ErrorCode::kNone; });
    if (failed) {
      log_.log(LogLevel::kInfo,
               "error in a request with acks=0 from " + job.peer_host + ": closing the connection",
               services_.clock.monotonic_ns());
    }
    services_.server.respond(job.token, failed ? net::Response::close() : net::Response::none());
    return;
  }
  net::Bytes response =
      encode_produce_response(job.correlation_id, job.version, produce, job.results);
  if (job.waiting.empty()) {
    services_.server.respond(job.token, net::Response::of(std::move(response)));
    return;
  }
  std::vector<DelayedProduce::Pending> pending;
  pending.reserve(job.waiting.size());
  for (auto& appended : job.waiting) {
    pending.push_back({std::move(appended.partition), appended.required_offset,
                       job.results[appended.result].error_position});
  }
  job.waiting.clear();
  const auto delayed = std::make_shared<DelayedProduce>(
      services_.purgatory, services_.server, job.token, std::move(response), std::move(pending));
  const int64_t wait_ms = std::max<int64_t>(produce.timeout_ms, kMinFlushWaitMs);
  delayed->start(services_.clock.monotonic_ns() + wait_ms * 1'000'000);
}

}  // namespace barnabas::dataplane
