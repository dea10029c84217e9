#include "dataplane/produce_response.h"

#include <cassert>

#include "dataplane/response_writer.h"

namespace barnabas::dataplane {
namespace {

void encode_produced(ResponseWriter& writer, int16_t version, int32_t index,
                     ProducePartitionResult& result) {
  writer.write(index);
  result.error_position = writer.size();
  writer.write(static_cast<int16_t>(result.error));
  writer.write(result.base_offset);
  if (version >= 2) writer.write(result.log_append_time_ms);
  if (version >= 5) writer.write(result.log_start_offset);
  if (version >= 8) {
    writer.write_array_length(result.record_errors.size());
    for (const auto& error : result.record_errors) {
      writer.write(error.batch_index);
      writer.write_nullable_string(error.message);
      writer.write_empty_tags();
    }
    writer.write_nullable_string(result.message);
  }
  writer.write_empty_tags();
}

}  // namespace

net::Bytes encode_produce_response(int32_t correlation_id, int16_t version,
                                   const ProduceRequest& request,
                                   std::span<ProducePartitionResult> results) {
  assert(results.size() == request.partitions.size());
  constexpr size_t kFixedBytes = 24;
  constexpr size_t kPartitionBytes = 40;
  constexpr size_t kTopicBytes = 24;
  size_t expected = kFixedBytes + results.size() * kPartitionBytes;
  for (const auto& topic : request.topics) expected += kTopicBytes + topic.name.size();

  ResponseWriter writer(version >= kProduceFirstFlexibleVersion, expected);
  writer.write(correlation_id);
  writer.write_empty_tags();  // of the response header
  writer.write_array_length(request.topics.size());
  size_t next = 0;
  for (const auto& topic : request.topics) {
    if (version >= kProduceFirstTopicIdVersion) {
      writer.write_uuid(topic.id);
    } else {
      writer.write_string(topic.name);
    }
    writer.write_array_length(topic.partition_count);
    for (size_t i = 0; i < topic.partition_count; ++i, ++next) {
      encode_produced(writer, version, request.partitions[next].index, results[next]);
    }
    writer.write_empty_tags();
  }
  if (version >= 1) writer.write(int32_t{0});  // throttle_time_ms
  writer.write_empty_tags();
  return writer.take();
}

}  // namespace barnabas::dataplane
