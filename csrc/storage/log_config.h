// What a topic's configuration means to its log. Field names are Kafka's topic keys, units last.
//
// Constant once handed over; a change replaces the whole value.
#pragma once

#include <cstdint>
#include <limits>

#include "record/batch.h"

namespace barnabas::storage {

struct LogConfig {
  int32_t segment_bytes = 1 << 30;              // segment.bytes / internal.segment.bytes
  int64_t segment_ms = 7LL * 24 * 3600 * 1000;  // segment.ms
  int64_t segment_jitter_ms = 0;                // segment.jitter.ms
  int32_t segment_index_bytes = 10 << 20;       // segment.index.bytes
  int32_t index_interval_bytes = 4096;          // index.interval.bytes
  int64_t flush_messages = std::numeric_limits<int64_t>::max();  // flush.messages
  int64_t flush_ms = std::numeric_limits<int64_t>::max();        // flush.ms
  int64_t retention_ms = 7LL * 24 * 3600 * 1000;                 // retention.ms, -1: for ever
  int64_t retention_bytes = -1;                                  // retention.bytes, -1: no limit
  int64_t file_delete_delay_ms = 60'000;                         // file.delete.delay.ms
  int32_t max_message_bytes = 1048588;                           // max.message.bytes
  record::TimestampType timestamp_type = record::TimestampType::kCreateTime;
  int64_t timestamp_before_max_ms = INT64_MAX;     // message.timestamp.before.max.ms
  int64_t timestamp_after_max_ms = 3'600'000;      // message.timestamp.after.max.ms
  bool compact = false;                            // cleanup.policy has `compact`
  bool delete_old = true;                          // cleanup.policy has `delete`
  int64_t delete_retention_ms = 86'400'000;        // delete.retention.ms
  int64_t min_compaction_lag_ms = 0;               // min.compaction.lag.ms
  int64_t max_compaction_lag_ms = INT64_MAX;       // max.compaction.lag.ms
  double min_cleanable_dirty_ratio = 0.5;          // min.cleanable.dirty.ratio
  bool recompress = false;                         // compression.type is not `producer`
  record::Codec codec = record::Codec::kNone;      // compression.type when recompress
  int codec_level = INT32_MIN;                     // compression.<codec>.level
  int64_t producer_id_expiration_ms = 86'400'000;  // producer.id.expiration.ms (broker level)
  /// transaction.partition.verification.enable (broker level); without a broker there is no
  /// coordinator to ask.
  bool verify_transactions = false;
};

}  // namespace barnabas::storage
