#include "dataplane/fetch_handler.h"

#include <algorithm>
#include <memory>
#include <string>
#include <unordered_set>
#include <utility>

#include "base/logger.h"

namespace barnabas::dataplane {
namespace {

constexpr int16_t kFirstZstdVersion = 10;

PartitionKey key_of(const FetchTopic& topic, int32_t partition, bool by_id) {
  return by_id ? PartitionKey{topic.id, {}, partition}
               : PartitionKey{{}, std::string(topic.name), partition};
}

// Points the entry at its partition, or says why there is none.
void attach(const TopicPtr& topic, ErrorCode unknown_topic, int16_t version, FetchEntry& entry) {
  const auto* found = topic == nullptr ? nullptr : topic->find(entry.index);
  if (topic == nullptr) {
    entry.read.error = unknown_topic;
  } else if (found == nullptr) {
    entry.read.error = ErrorCode::kUnknownTopicOrPartition;
  } else if (version < kFirstZstdVersion && topic->config.recompress &&
             topic->config.codec == record::Codec::kZstd) {
    entry.read.error = ErrorCode::kUnsupportedCompressionType;
  } else {
    entry.partition = *found;
  }
}

// A partition named twice counts once, as it was named last.
void remove_duplicates(std::vector<FetchEntry>& entries) {
  constexpr size_t kAlwaysDistinct = 1;
  if (entries.size() <= kAlwaysDistinct) return;
  std::unordered_set<PartitionKey, PartitionKeyHash> seen;
  seen.reserve(entries.size());
  bool duplicates = false;
  for (auto entry = entries.rbegin(); entry != entries.rend(); ++entry) {
    entry->included = seen.insert({entry->topic_id, entry->topic, entry->index}).second;
    duplicates = duplicates || !entry->included;
  }
  if (duplicates) std::erase_if(entries, [](const auto& entry) { return !entry.included; });
}

}  // namespace

FetchHandler::FetchHandler(const PartitionTable& table, FetchServices services,
                           size_t reactor_count)
    : table_(table), services_(services), scratch_(reactor_count) {}

net::Admission FetchHandler::handle(const net::Request& request) {
  FetchRequest& fetch = scratch_[request.token.reactor];
  if (request.api_version < kFetchMinVersion || request.api_version > kFetchMaxVersion ||
      !fetch.parse(request.body, request.api_version)) {
    log(LogLevel::kInfo, "fetch",
        "ill-formed request of version " + std::to_string(request.api_version) + " from " +
            std::string(request.peer_host) + ": closing the connection");
    services_.server.respond(request.token, net::Response::close());
    return net::Admission::kTaken;
  }
  FetchPlan plan;
  plan.token = request.token;
  plan.header.correlation_id = request.correlation_id;
  plan.header.version = request.api_version;
  plan.header.isolation = fetch.isolation;
  plan.header.node_id = node_id_;
  plan.may_wait = fetch.max_wait_ms > 0;
  plan.deadline_ns = request.received_ns + int64_t{fetch.max_wait_ms} * 1'000'000;
  plan.max_bytes = static_cast<uint64_t>(std::max(0, std::min(fetch.max_bytes, max_bytes_.load())));
  plan.min_bytes = std::min(static_cast<uint64_t>(std::max(0, fetch.min_bytes)), plan.max_bytes);
  plan.from_follower = fetch.replica_id >= 0;

  if (fetch.is_full()) {
    if (fetch.session_id != kNoSessionId) services_.sessions.remove(fetch.session_id);
    if (fetch.session_epoch == kInitialSessionEpoch) plan.session_kind = SessionKind::kNew;
    plan_from_request(fetch, plan);
  } else {
    plan_from_session(fetch, plan);
    if (plan.header.error != ErrorCode::kNone) {
      plan.entries.clear();
      services_.server.respond(request.token, encode_fetch_response(plan.header, plan.entries));
      return net::Admission::kTaken;
    }
  }
  if (plan.from_follower) refuse_follower(plan);
  std::make_shared<FetchOperation>(services_, std::move(plan))->start();
  return net::Admission::kTaken;
}

void FetchHandler::plan_from_request(const FetchRequest& request, FetchPlan& plan) const {
  const int16_t version = plan.header.version;
  const bool by_id = version >= kFetchFirstTopicIdVersion;
  const ErrorCode unknown =
      by_id ? ErrorCode::kUnknownTopicId : ErrorCode::kUnknownTopicOrPartition;
  plan.entries.reserve(request.partitions.size());
  size_t next = 0;
  for (const auto& named : request.topics) {
    const TopicPtr topic = by_id ? table_.find(named.id) : table_.find(named.name);
    for (size_t i = 0; i < named.partition_count; ++i, ++next) {
      auto& entry = plan.entries.emplace_back();
      entry.index = request.partitions[next].index;
      entry.topic_id = named.id;
      entry.topic = std::string(named.name);
      entry.params = request.partitions[next].params;
      attach(topic, unknown, version, entry);
    }
  }
  remove_duplicates(plan.entries);
}

void FetchHandler::plan_from_session(const FetchRequest& request, FetchPlan& plan) {
  const bool by_id = plan.header.version >= kFetchFirstTopicIdVersion;
  const FetchSessionPtr session = services_.sessions.find(request.session_id);
  if (session == nullptr) {
    plan.header.error = ErrorCode::kFetchSessionIdNotFound;
    return;
  }
  size_t partition_count = 0;
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
    if (partition_count > 0) {
      session->epoch = next_session_epoch(session->epoch);
      plan.session_kind = SessionKind::kIncremental;
      plan.session = session;
      plan.session_epoch = session->epoch;
      plan.entries.reserve(partition_count);
      for (auto& cached : session->partitions()) {
        resolve(cached, plan.header.version, plan.entries.emplace_back());
      }
    }
  }
  if (partition_count > 0) {
    services_.sessions.touch(*session, partition_count);
  } else {
    services_.sessions.remove(session->id);  // nothing left to fetch ends the session
  }
}

void FetchHandler::resolve(CachedPartition& cached, int16_t version, FetchEntry& entry) const {
  entry.index = cached.key.partition;
  entry.topic_id = cached.key.topic_id;
  entry.params = cached.params;
  entry.cached = &cached;
  if (version >= kFirstZstdVersion) {
    entry.partition = cached.partition.lock();
    if (entry.partition != nullptr && !entry.partition->deleted()) return;
    entry.partition = nullptr;
  }
  if (cached.key.topic_id.is_zero()) {
    entry.topic = cached.key.topic;
    attach(table_.find(cached.key.topic), ErrorCode::kUnknownTopicOrPartition, version, entry);
  } else {
    const TopicPtr topic = table_.find(cached.key.topic_id);
    ErrorCode unknown = ErrorCode::kUnknownTopicId;
    if (topic == nullptr && !cached.resolved_name.empty()) {
      // The topic this session knew is gone; one of its name may have taken its place.
      unknown = table_.find(cached.resolved_name) != nullptr ? ErrorCode::kInconsistentTopicId
                                                             : ErrorCode::kUnknownTopicOrPartition;
    }
    attach(topic, unknown, version, entry);
  }
  cached.partition = entry.partition;
  if (entry.partition != nullptr) cached.resolved_name = entry.partition->topic().name;
}

void FetchHandler::refuse_follower(FetchPlan& plan) const {
  for (auto& entry : plan.entries) {
    if (entry.partition == nullptr) continue;
    entry.read.error = entry.params.current_leader_epoch >= 0 ? ErrorCode::kUnknownLeaderEpoch
                                                              : ErrorCode::kNotLeaderOrFollower;
    entry.topic = entry.partition->topic().name;
    entry.partition = nullptr;
  }
}

}  // namespace barnabas::dataplane
