#include "dataplane/produce_request.h"

#include "dataplane/request_reader.h"

namespace barnabas::dataplane {
namespace {

// The least a topic or partition can take: a name or id, a count; an index, a length.
constexpr size_t kMinProduceTopicBytes = 2;
constexpr size_t kMinProducePartitionBytes = 5;

}  // namespace

bool ProduceRequest::parse(MutableBytes body, int16_t version) {
  topics.clear();
  partitions.clear();
  transactional_id.reset();
  RequestReader reader(body, version >= kProduceFirstFlexibleVersion);
  reader.skip_tags();  // of the request header
  if (version >= kProduceFirstServedVersion) transactional_id = reader.read_nullable_string();
  acks = reader.read<int16_t>();
  timeout_ms = reader.read<int32_t>();
  const size_t topic_count = reader.read_array_length(kMinProduceTopicBytes);
  for (size_t t = 0; t < topic_count && reader.ok(); ++t) {
    ProduceTopic topic;
    if (version >= kProduceFirstTopicIdVersion) {
      topic.id = reader.read_uuid();
    } else {
      topic.name = reader.read_string();
    }
    topic.partition_count = reader.read_array_length(kMinProducePartitionBytes);
    for (size_t p = 0; p < topic.partition_count && reader.ok(); ++p) {
      ProducePartition partition;
      partition.index = reader.read<int32_t>();
      partition.records = reader.read_nullable_records();
      reader.skip_tags();
      partitions.push_back(partition);
    }
    reader.skip_tags();
    topics.push_back(topic);
    if (partitions.size() > kMaxRequestElements) return false;
  }
  reader.skip_tags();
  if (!reader.ok()) return false;
  keep_last_of_each(topics, partitions, names_);
  return true;
}

}  // namespace barnabas::dataplane
