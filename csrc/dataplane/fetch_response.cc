#include "dataplane/fetch_response.h"

#include <utility>

#include "dataplane/response_writer.h"

namespace barnabas::dataplane {
namespace {

constexpr uint32_t kDivergingEpochTag = 0;
constexpr uint32_t kCurrentLeaderTag = 1;
constexpr size_t kFixedBytes = 32;
constexpr size_t kPartitionBytes = 64;

bool same_topic(const FetchEntry& a, const FetchEntry& b, bool by_id) {
  return by_id ? a.topic_id == b.topic_id : a.topic_name() == b.topic_name();
}

// Versions up to 5 do not know KAFKA_STORAGE_ERROR; this one makes their clients retry.
ErrorCode error_for_version(ErrorCode error, int16_t version) {
  return error == ErrorCode::kKafkaStorageError && version <= 5 ? ErrorCode::kNotLeaderOrFollower
                                                                : error;
}

void encode_partition_tags(ResponseWriter& writer, const FetchResponseHeader& header,
                           const FetchEntry& entry) {
  if (!writer.flexible()) return;
  const bool diverging = entry.read.diverging.leader_epoch >= 0;
  const bool leader = header.version >= 16 && entry.partition != nullptr &&
                      entry.read.error == ErrorCode::kFencedLeaderEpoch;
  writer.write_uvarint32(static_cast<uint32_t>(diverging) + static_cast<uint32_t>(leader));
  if (diverging) {
    constexpr uint32_t kBytes = 4 + 8 + 1;
    writer.write_uvarint32(kDivergingEpochTag);
    writer.write_uvarint32(kBytes);
    writer.write(entry.read.diverging.leader_epoch);
    writer.write(entry.read.diverging.end_offset);
    writer.write_empty_tags();
  }
  if (leader) {
    constexpr uint32_t kBytes = 4 + 4 + 1;
    writer.write_uvarint32(kCurrentLeaderTag);
    writer.write_uvarint32(kBytes);
    writer.write(header.node_id);
    writer.write(entry.partition->leader_epoch());
    writer.write_empty_tags();
  }
}

void encode_partition(ResponseWriter& writer, const FetchResponseHeader& header, FetchEntry& entry,
                      net::Response& response) {
  const PartitionRead& read = entry.read;
  writer.write(entry.index);
  writer.write(static_cast<int16_t>(error_for_version(read.error, header.version)));
  writer.write(read.high_watermark);
  writer.write(read.last_stable_offset);
  if (header.version >= 5) writer.write(read.log_start_offset);
  if (header.isolation == IsolationLevel::kReadCommitted) {
    writer.write_array_length(0);  // aborted transactions
  } else {
    writer.write_null_array();
  }
  if (header.version >= 11) writer.write(int32_t{-1});  // preferred_read_replica
  writer.write_records_length(read.slice.file.length);
  if (read.slice.file.length > 0) {
    response.chunks.emplace_back(writer.take());
    response.chunks.emplace_back(std::move(entry.read.slice.file));
  }
  encode_partition_tags(writer, header, entry);
}

}  // namespace

net::Response encode_fetch_response(const FetchResponseHeader& header,
                                    std::vector<FetchEntry>& entries) {
  const bool by_id = header.version >= kFetchFirstTopicIdVersion;
  // Entries of one topic that follow each other share a topic element; others keep their order.
  struct Group {
    size_t begin = 0;  // index of its first included entry
    size_t count = 0;
  };
  std::vector<Group> groups;
  size_t included = 0;
  for (size_t i = 0; i < entries.size(); ++i) {
    if (!entries[i].included) continue;
    ++included;
    if (groups.empty() || !same_topic(entries[groups.back().begin], entries[i], by_id)) {
      groups.push_back({i, 0});
    }
    ++groups.back().count;
  }

  net::Response response;
  ResponseWriter writer(header.version >= kFetchFirstFlexibleVersion,
                        kFixedBytes + included * kPartitionBytes);
  writer.write(header.correlation_id);
  writer.write_empty_tags();  // of the response header
  writer.write(int32_t{0});   // throttle_time_ms
  if (header.version >= kFetchFirstSessionVersion) {
    writer.write(static_cast<int16_t>(header.error));
    writer.write(header.session_id);
  }
  writer.write_array_length(groups.size());
  for (const Group& group : groups) {
    const FetchEntry& first = entries[group.begin];
    if (by_id) {
      writer.write_uuid(first.topic_id);
    } else {
      writer.write_string(first.topic_name());
    }
    writer.write_array_length(group.count);
    for (size_t i = group.begin, left = group.count; left > 0; ++i) {
      if (!entries[i].included) continue;
      encode_partition(writer, header, entries[i], response);
      --left;
    }
    writer.write_empty_tags();
  }
  writer.write_empty_tags();
  if (writer.size() > 0) response.chunks.emplace_back(writer.take());
  return response;
}

}  // namespace barnabas::dataplane
