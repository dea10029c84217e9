// Partitions, as the data plane and its caller speak of them.
#pragma once

#include <cstdint>
#include <string>

#include "base/uuid.h"
#include "storage/log.h"

namespace barnabas::dataplane {

/// A partition to serve.
struct PartitionSpec {
  std::string topic;
  Uuid topic_id;
  int32_t partition = 0;
  int32_t leader_epoch = 0;
};

/// How the opening of one log went.
struct LoadReport {
  std::string topic;
  int32_t partition = 0;
  storage::RecoveryReport recovery;
  std::string error;  // not empty: could not be opened, the partition is offline
};

/// A partition as it is now.
struct PartitionInfo {
  std::string topic;
  int32_t partition = 0;
  int32_t leader_epoch = 0;
  int64_t log_start_offset = 0;
  int64_t high_watermark = 0;
  int64_t last_stable_offset = 0;
  int64_t log_end_offset = 0;
  uint64_t size_bytes = 0;
  uint64_t segment_count = 0;
  bool offline = false;
  std::string directory;  // empty: in none that is there
  /// A copy on its way to `directory`; `offset_lag`: how much it lacks.
  bool is_future = false;
  int64_t offset_lag = 0;
};

}  // namespace barnabas::dataplane
