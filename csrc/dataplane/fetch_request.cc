#include "dataplane/fetch_request.h"

#include "dataplane/request_reader.h"

namespace barnabas::dataplane {
namespace {

// The least a topic, a partition and a forgotten partition can take.
constexpr size_t kMinFetchTopicBytes = 2;
constexpr size_t kMinFetchPartitionBytes = 16;
constexpr size_t kForgottenPartitionBytes = 4;

FetchTopic parse_topic_name(RequestReader& reader, int16_t version) {
  FetchTopic topic;
  if (version >= kFetchFirstTopicIdVersion) {
    topic.id = reader.read_uuid();
  } else {
    topic.name = reader.read_string();
  }
  return topic;
}

FetchPartition parse_partition(RequestReader& reader, int16_t version) {
  FetchPartition partition;
  partition.index = reader.read<int32_t>();
  if (version >= 9) partition.params.current_leader_epoch = reader.read<int32_t>();
  partition.params.fetch_offset = reader.read<int64_t>();
  if (version >= 12) partition.params.last_fetched_epoch = reader.read<int32_t>();
  if (version >= 5) reader.read<int64_t>();  // the follower's log_start_offset
  partition.params.max_bytes = reader.read<int32_t>();
  reader.skip_tags();
  return partition;
}

bool parse_forgotten(RequestReader& reader, int16_t version, FetchRequest& request) {
  const size_t topic_count = reader.read_array_length(kMinFetchTopicBytes);
  for (size_t t = 0; t < topic_count && reader.ok(); ++t) {
    FetchTopic topic = parse_topic_name(reader, version);
    topic.partition_count = reader.read_array_length(kForgottenPartitionBytes);
    for (size_t p = 0; p < topic.partition_count && reader.ok(); ++p) {
      request.forgotten_partitions.push_back(reader.read<int32_t>());
    }
    reader.skip_tags();
    request.forgotten_topics.push_back(topic);
    if (request.forgotten_partitions.size() > kMaxRequestElements) return false;
  }
  return true;
}

}  // namespace

bool FetchRequest::parse(MutableBytes body, int16_t version) {
  topics.clear();
  partitions.clear();
  forgotten_topics.clear();
  forgotten_partitions.clear();
  replica_id = -1;
  session_id = kNoSessionId;
  session_epoch = kFinalSessionEpoch;

  RequestReader reader(body, version >= kFetchFirstFlexibleVersion);
  reader.skip_tags();  // of the request header
  if (version < 15) replica_id = reader.read<int32_t>();
  max_wait_ms = reader.read<int32_t>();
  min_bytes = reader.read<int32_t>();
  max_bytes = reader.read<int32_t>();
  isolation = reader.read<int8_t>() == static_cast<int8_t>(IsolationLevel::kReadCommitted)
                  ? IsolationLevel::kReadCommitted
                  : IsolationLevel::kReadUncommitted;
  if (version >= kFetchFirstSessionVersion) {
    session_id = reader.read<int32_t>();
    session_epoch = reader.read<int32_t>();
  }
  const size_t topic_count = reader.read_array_length(kMinFetchTopicBytes);
  for (size_t t = 0; t < topic_count && reader.ok(); ++t) {
    FetchTopic topic = parse_topic_name(reader, version);
    topic.partition_count = reader.read_array_length(kMinFetchPartitionBytes);
    for (size_t p = 0; p < topic.partition_count && reader.ok(); ++p) {
      partitions.push_back(parse_partition(reader, version));
    }
    reader.skip_tags();
    topics.push_back(topic);
    if (partitions.size() > kMaxRequestElements) return false;
  }
  if (version >= kFetchFirstSessionVersion && !parse_forgotten(reader, version, *this)) {
    return false;
  }
  if (version >= 11) reader.read_nullable_string();  // rack_id
  reader.read_tags([this, version](uint32_t tag, RequestReader& value) {
    constexpr uint32_t kReplicaStateTag = 1;
    if (version < 15 || tag != kReplicaStateTag) return;
    replica_id = value.read<int32_t>();
    value.read<int64_t>();  // replica_epoch
    value.skip_tags();
  });
  if (!reader.ok()) return false;
  keep_last_of_each(topics, partitions, names_);
  return true;
}

}  // namespace barnabas::dataplane
