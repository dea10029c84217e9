// What producers and consumers in this process get of the data plane.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/raw_array.h"
#include "base/result.h"
#include "base/uuid.h"
#include "record/batch.h"
#include "storage/log.h"

namespace barnabas::dataplane {

/// Where a batch that was produced in this process went.
struct Produced {
  int64_t base_offset = -1;
  int64_t log_append_time_ms = record::kNoTimestamp;  // set for LogAppendTime
};

/// What producers and consumers in this process need to know of a topic.
struct TopicShape {
  Uuid topic_id;
  int32_t partition_count = 0;
  int32_t max_message_bytes = 0;
};

/// What a consumer in this process gets of a partition.
struct Fetched {
  RawArray<uint8_t> bytes;  // whole batches
  int64_t high_watermark = -1;
  int64_t last_stable_offset = -1;
  int64_t log_start_offset = -1;
  std::vector<storage::AbortedTransaction> aborted;  // with read_committed: in these batches
  std::string path;                                  // of the file they lie in
  uint64_t position = 0;                             // in the file
};

/// kCorruptMessage, with file and position, unless it is what its CRC says. `at`: in its bytes.
Status check_crc(const Fetched& fetched, size_t at, const record::BatchView& batch);
/// Of all its batches.
Status check_crcs(const Fetched& fetched);

}  // namespace barnabas::dataplane
