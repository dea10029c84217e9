// Configuration as the data plane reads it: Kafka's keys in, typed structs out.
//
// The Python registry is the only place that knows defaults and validates; here a missing key
// keeps the struct's own default, a value of the wrong type or outside what native code can hold
// is an error that names the key, and keys that native code does not use are ignored.
//
// Thread-safety: pure functions over plain values.
#pragma once

#include <cfloat>
#include <cstdint>
#include <map>
#include <string>
#include <variant>

#include "base/result.h"
#include "net/server.h"
#include "record/validate.h"
#include "storage/log_config.h"

namespace barnabas::dataplane {

using SettingValue = std::variant<int64_t, bool, std::string>;
using SettingMap = std::map<std::string, SettingValue, std::less<>>;

/// Of compaction; buffers are those of all threads together.
struct CleanerConfig {
  bool enabled = true;                       // log.cleaner.enable
  int threads = 1;                           // log.cleaner.threads
  int64_t dedupe_buffer_bytes = 128 << 20;   // log.cleaner.dedupe.buffer.size
  double dedupe_load_factor = 0.9;           // log.cleaner.io.buffer.load.factor
  int32_t io_buffer_bytes = 512 << 10;       // log.cleaner.io.buffer.size
  double io_max_bytes_per_second = DBL_MAX;  // log.cleaner.io.max.bytes.per.second
  int64_t backoff_ms = 15'000;               // log.cleaner.backoff.ms
};

struct ScrubberConfig {
  int64_t interval_ms = 604'800'000;       // log.scrub.interval.ms; -1: never
  double max_bytes_per_second = 10485760;  // log.scrub.max.bytes.per.second
};

/// Broker-level configuration.
struct EngineConfig {
  net::ServerConfig server;
  int disk_threads = 8;                      // num.io.threads
  int recovery_threads = 2;                  // num.recovery.threads.per.data.dir
  int32_t queued_max_requests = 500;         // queued.max.requests
  int32_t fetch_max_bytes = 55 << 20;        // fetch.max.bytes
  int32_t fetch_session_cache_slots = 1000;  // max.incremental.fetch.session.cache.slots
  /// Log starts and high watermarks go with the recovery points.
  int64_t checkpoint_interval_ms = 60'000;         // log.flush.offset.checkpoint.interval.ms
  int64_t maintenance_interval_ms = 300'000;       // log.retention.check.interval.ms
  int64_t producer_id_expiration_ms = 86'400'000;  // producer.id.expiration.ms
  bool verify_transactions = true;                 // transaction.partition.verification.enable
  CleanerConfig cleaner;
  ScrubberConfig scrubber;
  int move_threads = -1;  // num.replica.alter.log.dirs.threads; -1: as many as log directories
  int64_t move_max_bytes_per_second = INT64_MAX;  // replica.alter.log.dirs.io.max.bytes.per.second
};

Result<EngineConfig> parse_engine_config(const SettingMap& settings);
/// A topic's effective configuration (topic-level keys).
Result<storage::LogConfig> parse_log_config(const SettingMap& config);
/// What the topic's configuration asks of a produced batch.
record::ValidationPolicy validation_policy(const storage::LogConfig& config);

}  // namespace barnabas::dataplane
