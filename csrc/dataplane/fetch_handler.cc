#include "dataplane/fetch_handler.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "dataplane/fetch_operation.h"
#include "dataplane/fetch_response.h"

namespace barnabas::dataplane {
namespace {

constexpr int16_t kFirstZstdFetchVersion = 10;
// What an answer may hold beside records, at most: the rest of an int32 is for these.
constexpr int32_t kMaxAnswerOverheadBytes = 256 << 20;

PartitionKey key_of(const FetchTopic& topic, int32_t partition, bool by_id) {
  return by_id ? PartitionKey{topic.id, {}, partition}
               : PartitionKey{{}, std::string(topic.name), partition};
}

// There are no followers yet: Kafka's answers to a replica it does not know.
ErrorCode refusal_of_follower(const FetchParams& params) {
  return params.current_leader_epoch >= 0 ? ErrorCode::kUnknownLeaderEpoch
                                          : ErrorCode::kNotLeaderOrFollower;
}

}  // namespace

FetchHandler::FetchHandler(const PartitionTable& table, FetchServices services,
                           size_t reactor_count)
    : table_(table), services_(services), scratch_(reactor_count) {}

net::Admission FetchHandler::handle(const net::Request& request) {
  FetchRequest& fetch = scratch_[request.token.reactor];
  if (request.api_version < kFetchMinVersion || request.api_version > kFetchMaxVersion ||
      !fetch.parse(request.body, request.api_version)) {
    services_.log.log(LogLevel::kInfo,
                      "ill-formed request of version " + std::to_string(request.api_version) +
                          " from " + std::string(request.peer_host) + ": closing the connection",
                      request.received_ns);
    services_.server.respond(request.token, net::Response::close());
    return net::Admission::kTaken;
  }
  FetchPlan plan = begin_plan(request, fetch);
  if (fetch.is_full()) {
    if (fetch.session_id != kNoSessionId) services_.sessions.remove(fetch.session_id);
    if (fetch.session_epoch == kInitialSessionEpoch) plan.session_kind = SessionKind::kNew;
    plan_from_request(fetch, plan);
  } else {
    plan_from_session(fetch, plan);
    if (plan.header.error != ErrorCode::kNone) {
      services_.server.respond(request.token, encode_fetch_response(plan));
      return net::Admission::kTaken;
    }
  }
  std::make_shared<FetchOperation>(services_, std::move(plan))->start();
  return net::Admission::kTaken;
}

FetchPlan FetchHandler::begin_plan(const net::Request& request, const FetchRequest& fetch) const {
  FetchPlan plan;
  plan.token = request.token;
  plan.header.correlation_id = request.correlation_id;
  plan.header.version = request.api_version;
  plan.header.isolation = fetch.isolation;
  plan.header.node_id = node_id_;
  plan.may_wait = fetch.max_wait_ms > 0;
  plan.deadline_ns = request.received_ns + int64_t{fetch.max_wait_ms} * 1'000'000;
  const int32_t max_bytes =
      std::min({fetch.max_bytes, max_bytes_.load(), INT32_MAX - kMaxAnswerOverheadBytes});
  plan.max_bytes = static_cast<uint64_t>(std::max(0, max_bytes));
  plan.min_bytes = std::min(static_cast<uint64_t>(std::max(0, fetch.min_bytes)), plan.max_bytes);
  return plan;
}

void FetchHandler::plan_from_request(const FetchRequest& request, FetchPlan& plan) const {
  const int16_t version = plan.header.version;
  const bool by_id = version >= kFetchFirstTopicIdVersion;
  const ErrorCode unknown =
      by_id ? ErrorCode::kUnknownTopicId : ErrorCode::kUnknownTopicOrPartition;
  size_t next = 0;
  for (const auto& named : request.topics) {
    const TopicPtr topic = by_id ? table_.find(named.id) : table_.find(named.name);
    for (size_t i = 0; i < named.partition_count; ++i, ++next) {
      const auto& [index, params] = request.partitions[next];
      Resolved found = resolve(topic, unknown, index, version);
      if (found.partition != nullptr && request.replica_id >= 0) {
        found = {nullptr, refusal_of_follower(params)};
      }
      if (found.partition != nullptr) {
        plan.add(std::move(found.partition), params);
      } else {
        plan.refuse(named.id, named.name, index, params, found.error);
      }
    }
  }
}

void FetchHandler::plan_from_session(const FetchRequest& request, FetchPlan& plan) {
  const bool by_id = plan.header.version >= kFetchFirstTopicIdVersion;
  const FetchSessionPtr session = services_.sessions.find(request.session_id);
  if (session == nullptr) {
    plan.header.error = ErrorCode::kFetchSessionIdNotFound;
    return;
  }
  size_t partition_count = 0;
  size_t memory_bytes = 0;
  {
    MutexLock lock(session->mutex);
    if (session->epoch != request.session_epoch) {
      plan.header.error = ErrorCode::kInvalidFetchSessionEpoch;
      return;
    }
    if (session->uses_topic_ids != by_id) {
      plan.header.error = ErrorCode::kFetchSessionTopicIdError;
      return;
    }
    session->epoch = next_session_epoch(session->epoch);
    plan.session_epoch = session->epoch;
    size_t next = 0;
    for (const auto& topic : request.topics) {
      for (size_t i = 0; i < topic.partition_count; ++i, ++next) {
        const FetchPartition& named = request.partitions[next];
        session->put(key_of(topic, named.index, by_id), named.params);
      }
    }
    next = 0;
    for (const auto& topic : request.forgotten_topics) {
      for (size_t i = 0; i < topic.partition_count; ++i, ++next) {
        session->erase(key_of(topic, request.forgotten_partitions[next], by_id));
      }
    }
    partition_count = session->partitions().size();
    memory_bytes = session->memory_bytes();
    plan_from_partitions(session->partitions(), request, plan);
  }
  if (partition_count > 0) {
    plan.session_kind = SessionKind::kIncremental;
    plan.session = session;
    services_.sessions.touch(*session, partition_count, memory_bytes);
  } else {
    services_.sessions.remove(session->id);  // nothing left to fetch ends the session
  }
}

void FetchHandler::plan_from_partitions(FetchSession::Partitions& partitions,
                                        const FetchRequest& request, FetchPlan& plan) const {
  plan.entries.reserve(plan.entries.size() + partitions.size());
  for (auto& cached : partitions) {
    Resolved found = resolve(cached, plan.header.version);
    cached.partition = found.partition;
    if (found.partition != nullptr) {
      cached.resolved_name = found.partition->topic().name;
      if (request.replica_id >= 0) found = {nullptr, refusal_of_follower(cached.params)};
    }
    if (found.partition != nullptr) {
      plan.add(std::move(found.partition), cached.params);
    } else {
      plan.refuse(cached.key.topic_id, cached.key.topic, cached.key.partition, cached.params,
                  found.error);
    }
  }
}

FetchHandler::Resolved FetchHandler::resolve(const CachedPartition& cached, int16_t version) const {
  const auto& [topic_id, name, index] = cached.key;
  if (version >= kFirstZstdFetchVersion) {
    auto known = cached.partition.lock();
    if (known != nullptr && !known->deleted()) return {std::move(known)};
  }
  if (topic_id.is_zero()) {
    return resolve(table_.find(name), ErrorCode::kUnknownTopicOrPartition, index, version);
  }
  const TopicPtr topic = table_.find(topic_id);
  ErrorCode unknown = ErrorCode::kUnknownTopicId;
  if (topic == nullptr && !cached.resolved_name.empty()) {
    // The topic this session knew is gone; one of its name may have taken its place.
    unknown = table_.find(cached.resolved_name) != nullptr ? ErrorCode::kInconsistentTopicId
                                                           : ErrorCode::kUnknownTopicOrPartition;
  }
  return resolve(topic, unknown, index, version);
}

FetchHandler::Resolved FetchHandler::resolve(const TopicPtr& topic, ErrorCode unknown_topic,
                                             int32_t index, int16_t version) {
  if (topic == nullptr) return {nullptr, unknown_topic};
  const auto* found = topic->find(index);
  if (found == nullptr) return {nullptr, ErrorCode::kUnknownTopicOrPartition};
  if (version < kFirstZstdFetchVersion && topic->config.recompress &&
      topic->config.codec == record::Codec::kZstd) {
    return {nullptr, ErrorCode::kUnsupportedCompressionType};
  }
  return {*found};
}

}  // namespace barnabas::dataplane
