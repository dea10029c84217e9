#include "dataplane/fetch_response.h"

#include <string_view>
#include <utility>
#include <vector>

#include "dataplane/fetch_request.h"
#include "dataplane/response_writer.h"

namespace barnabas::dataplane {
namespace {

constexpr uint32_t kDivergingEpochTag = 0;
constexpr uint32_t kCurrentLeaderTag = 1;
constexpr size_t kFixedBytes = 32;
constexpr size_t kPartitionBytes = 64;

// Versions up to 5 do not know KAFKA_STORAGE_ERROR; this one makes their clients retry.
ErrorCode error_for_version(ErrorCode error, int16_t version) {
  return error == ErrorCode::kKafkaStorageError && version <= 5 ? ErrorCode::kNotLeaderOrFollower
                                                                : error;
}

void encode_partition_tags(ResponseWriter& writer, const FetchResponseHeader& header,
                           const PartitionRead& read, const Partition* partition) {
  if (!writer.flexible()) return;
  const bool diverging = read.diverging.leader_epoch >= 0;
  const bool leader =
      header.version >= 16 && partition != nullptr && read.error == ErrorCode::kFencedLeaderEpoch;
  writer.write_uvarint32(static_cast<uint32_t>(diverging) + static_cast<uint32_t>(leader));
  if (diverging) {
    constexpr uint32_t kBytes = 4 + 8 + 1;
    writer.write_uvarint32(kDivergingEpochTag);
    writer.write_uvarint32(kBytes);
    writer.write(read.diverging.leader_epoch);
    writer.write(read.diverging.end_offset);
    writer.write_empty_tags();
  }
  if (leader) {
    constexpr uint32_t kBytes = 4 + 4 + 1;
    writer.write_uvarint32(kCurrentLeaderTag);
    writer.write_uvarint32(kBytes);
    writer.write(header.node_id);
    writer.write(partition->leader_epoch());
    writer.write_empty_tags();
  }
}

void encode_aborted(ResponseWriter& writer,
                    const std::vector<storage::AbortedTransaction>& transactions) {
  for (const storage::AbortedTransaction& aborted : transactions) {
    writer.write(aborted.producer_id);
    writer.write(aborted.first_offset);
    writer.write_empty_tags();
  }
}

/// `partition`: null when there is none.
void encode_fetched(ResponseWriter& writer, const FetchResponseHeader& header, int32_t index,
                    PartitionRead& read, const Partition* partition, net::Response& response) {
  writer.write(index);
  writer.write(static_cast<int16_t>(error_for_version(read.error, header.version)));
  writer.write(read.high_watermark);
  writer.write(read.last_stable_offset);
  if (header.version >= 5) writer.write(read.log_start_offset);
  if (header.isolation == IsolationLevel::kReadCommitted) {
    writer.write_array_length(read.aborted == nullptr ? 0 : read.aborted->size());
    if (read.aborted != nullptr) encode_aborted(writer, *read.aborted);
  } else {
    writer.write_null_array();
  }
  if (header.version >= 11) writer.write(int32_t{-1});  // preferred_read_replica
  writer.write_records_length(read.slice.file.length);
  if (read.slice.file.length > 0) {
    response.chunks.emplace_back(writer.take());
    response.chunks.emplace_back(std::move(read.slice.file));
  }
  encode_partition_tags(writer, header, read, partition);
}

void encode_topic(ResponseWriter& writer, int16_t version, const Uuid& id, std::string_view name,
                  size_t partition_count) {
  if (version >= kFetchFirstTopicIdVersion) {
    writer.write_uuid(id);
  } else {
    writer.write_string(name);
  }
  writer.write_array_length(partition_count);
}

/// Entries of one topic that follow each other share a topic element; others keep their order.
struct Group {
  size_t begin = 0;  // index of its first element that is told
  size_t count = 0;
};

template <class Element, class SameTopic>
std::vector<Group> group_by_topic(const std::vector<Element>& elements, SameTopic same_topic) {
  std::vector<Group> groups;
  for (size_t i = 0; i < elements.size(); ++i) {
    if (!elements[i].told) continue;
    if (groups.empty() || !same_topic(elements[groups.back().begin], elements[i])) {
      groups.push_back({i, 0});
    }
    ++groups.back().count;
  }
  return groups;
}

}  // namespace

net::Response encode_fetch_response(FetchPlan& plan) {
  const FetchResponseHeader& header = plan.header;
  auto& entries = plan.entries;
  auto& refusals = plan.refusals;
  const auto topics = group_by_topic(entries, [](const FetchEntry& a, const FetchEntry& b) {
    return &a.partition->topic() == &b.partition->topic();
  });
  const auto refused_topics =
      group_by_topic(refusals, [](const auto& a, const auto& b) { return a.topic == b.topic; });
  size_t told = 0;
  for (const auto& groups : {topics, refused_topics}) {
    for (const Group& group : groups) told += group.count;
  }

  net::Response response;
  ResponseWriter writer(header.version >= kFetchFirstFlexibleVersion,
                        kFixedBytes + told * kPartitionBytes);
  writer.write(header.correlation_id);
  writer.write_empty_tags();  // of the response header
  writer.write(int32_t{0});   // throttle_time_ms
  if (header.version >= kFetchFirstSessionVersion) {
    writer.write(static_cast<int16_t>(header.error));
    writer.write(header.session_id);
  }
  writer.write_array_length(topics.size() + refused_topics.size());
  for (const Group& group : topics) {
    const TopicIdentity& topic = entries[group.begin].partition->topic();
    encode_topic(writer, header.version, topic.id, topic.name, group.count);
    for (size_t i = group.begin, left = group.count; left > 0; ++i) {
      FetchEntry& entry = entries[i];
      if (!entry.told) continue;
      encode_fetched(writer, header, entry.partition->index(), entry.read, entry.partition.get(),
                     response);
      --left;
    }
    writer.write_empty_tags();
  }
  for (const Group& group : refused_topics) {
    const FetchTopicName& topic = plan.refused_topics[refusals[group.begin].topic];
    encode_topic(writer, header.version, topic.id, topic.name, group.count);
    for (size_t i = group.begin, left = group.count; left > 0; ++i) {
      if (!refusals[i].told) continue;
      PartitionRead nothing;
      nothing.error = refusals[i].error;
      encode_fetched(writer, header, refusals[i].index, nothing, nullptr, response);
      --left;
    }
    writer.write_empty_tags();
  }
  writer.write_empty_tags();
  if (writer.size() > 0) response.chunks.emplace_back(writer.take());
  return response;
}

}  // namespace barnabas::dataplane
