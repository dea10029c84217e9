// What is asked of DeleteRecords (API key 21, KIP-107), and the answer.
#pragma once

#include <cstdint>
#include <string>

#include "base/kafka_error.h"

namespace barnabas::dataplane {

/// Of a partition, the offset before which records are to go; -1: the high watermark.
struct RecordDeletion {
  std::string topic;
  int32_t partition = 0;
  int64_t before_offset = 0;
};

/// What became of a RecordDeletion: the new log start offset, -1 with an error.
struct DeletedRecords {
  ErrorCode error = ErrorCode::kNone;
  int64_t low_watermark = -1;
};

}  // namespace barnabas::dataplane
