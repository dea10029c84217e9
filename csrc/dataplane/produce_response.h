// The answer to a Produce request.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/kafka_error.h"
#include "dataplane/produce_request.h"
#include "net/response.h"
#include "record/validate.h"

namespace barnabas::dataplane {

inline constexpr int64_t kUnknownOffset = -1;

struct ProducePartitionResult {
  ErrorCode error = ErrorCode::kNone;
  int64_t base_offset = kUnknownOffset;
  int64_t log_append_time_ms = record::kNoTimestamp;
  int64_t log_start_offset = kUnknownOffset;
  std::vector<record::RecordError> record_errors;  // version 8 and up
  std::optional<std::string> message;              // version 8 and up
  /// Set by encode_produce_response: where in the response the error code stands (int16), so that
  /// an answer that has to wait can still become an error.
  size_t error_position = 0;
};

/// `results`: one for each of request.partitions, in their order.
net::Bytes encode_produce_response(int32_t correlation_id, int16_t version,
                                   const ProduceRequest& request,
                                   std::span<ProducePartitionResult> results);

}  // namespace barnabas::dataplane
