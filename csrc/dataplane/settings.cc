#include "dataplane/settings.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <optional>
#include <string_view>
#include <type_traits>
#include <utility>

namespace barnabas::dataplane {
namespace {

// Reads keys of one map into fields; keeps the first error.
class SettingReader {
 public:
  explicit SettingReader(const SettingMap& settings) : settings_(settings) {}

  template <class T>
  void read(std::string_view key, T& field) {
    const SettingValue* value = find(key);
    if (value == nullptr) return;
    if constexpr (std::is_same_v<T, bool> || std::is_same_v<T, std::string>) {
      const T* typed = std::get_if<T>(value);
      if (typed == nullptr) return refuse(key, "has the wrong type");
      field = *typed;
    } else if constexpr (std::is_same_v<T, double>) {
      const auto* text = std::get_if<std::string>(value);
      const char* const end = text == nullptr ? nullptr : text->data() + text->size();
      if (text == nullptr || std::from_chars(text->data(), end, field).ptr != end) {
        return refuse(key, "is not a number");
      }
    } else {
      const int64_t* typed = std::get_if<int64_t>(value);
      if (typed == nullptr) return refuse(key, "is not a whole number");
      if (*typed < std::numeric_limits<T>::min() || *typed > std::numeric_limits<T>::max()) {
        return refuse(key, "is out of range");
      }
      field = static_cast<T>(*typed);
    }
  }

  /// One of `choices` (name, value) into `field`.
  template <class T, size_t N>
  void read_choice(std::string_view key, const std::pair<std::string_view, T> (&choices)[N],
                   T& field) {
    std::string text;
    if (find(key) == nullptr) return;
    read(key, text);
    for (const auto& [name, value] : choices) {
      if (name == text) {
        field = value;
        return;
      }
    }
    refuse(key, "has no value named '" + text + "'");
  }

  void refuse(std::string_view key, const std::string& why) {
    if (!error_.has_value()) {
      error_ = Error{ErrorCode::kInvalidRequest, std::string(key) + " " + why};
    }
  }

  [[nodiscard]] bool has(std::string_view key) const { return find(key) != nullptr; }
  [[nodiscard]] std::optional<Error>& error() { return error_; }

 private:
  [[nodiscard]] const SettingValue* find(std::string_view key) const {
    const auto found = settings_.find(key);
    return found == settings_.end() ? nullptr : &found->second;
  }

  const SettingMap& settings_;
  std::optional<Error> error_;
};

void read_cleanup_policy(SettingReader& reader, storage::LogConfig& config) {
  constexpr std::string_view kKey = "cleanup.policy";
  if (!reader.has(kKey)) return;
  std::string text;
  reader.read(kKey, text);
  config.compact = false;
  config.delete_old = false;
  for (std::string_view rest = text; !rest.empty();) {
    const size_t comma = std::min(rest.find(','), rest.size());
    std::string_view policy = rest.substr(0, comma);
    rest.remove_prefix(std::min(comma + 1, rest.size()));
    while (policy.starts_with(' ')) policy.remove_prefix(1);
    while (policy.ends_with(' ')) policy.remove_suffix(1);
    if (policy == "compact") {
      config.compact = true;
    } else if (policy == "delete") {
      config.delete_old = true;
    } else {
      reader.refuse(kKey, "has no policy named '" + std::string(policy) + "'");
    }
  }
}

void read_compression(SettingReader& reader, storage::LogConfig& config) {
  // -1 stands for `producer`: keep what the producer chose.
  constexpr std::pair<std::string_view, int> kCodecs[] = {
      {"producer", -1},
      {"uncompressed", static_cast<int>(record::Codec::kNone)},
      {"gzip", static_cast<int>(record::Codec::kGzip)},
      {"snappy", static_cast<int>(record::Codec::kSnappy)},
      {"lz4", static_cast<int>(record::Codec::kLz4)},
      {"zstd", static_cast<int>(record::Codec::kZstd)}};
  int codec = -1;
  reader.read_choice("compression.type", kCodecs, codec);
  config.recompress = codec >= 0;
  if (!config.recompress) return;
  config.codec = static_cast<record::Codec>(codec);
  if (config.codec == record::Codec::kGzip) {
    reader.read("compression.gzip.level", config.codec_level);
  } else if (config.codec == record::Codec::kLz4) {
    reader.read("compression.lz4.level", config.codec_level);
  } else if (config.codec == record::Codec::kZstd) {
    reader.read("compression.zstd.level", config.codec_level);
  }
}

void read_cleaner(SettingReader& reader, CleanerConfig& config) {
  reader.read("log.cleaner.enable", config.enabled);
  reader.read("log.cleaner.threads", config.threads);
  reader.read("log.cleaner.dedupe.buffer.size", config.dedupe_buffer_bytes);
  reader.read("log.cleaner.io.buffer.load.factor", config.dedupe_load_factor);
  reader.read("log.cleaner.io.buffer.size", config.io_buffer_bytes);
  reader.read("log.cleaner.io.max.bytes.per.second", config.io_max_bytes_per_second);
  reader.read("log.cleaner.backoff.ms", config.backoff_ms);
}

}  // namespace

Result<EngineConfig> parse_engine_config(const SettingMap& settings) {
  EngineConfig config;
  SettingReader reader(settings);
  net::ServerConfig& server = config.server;
  reader.read("num.network.threads", server.reactor_threads);
  reader.read("socket.request.max.bytes", server.socket_request_max_bytes);
  reader.read("queued.max.request.bytes", server.queued_max_request_bytes);
  reader.read("connections.max.idle.ms", server.connections_max_idle_ms);
  reader.read("max.connections", server.max_connections);
  reader.read("max.connections.per.ip", server.max_connections_per_ip);
  reader.read("socket.send.buffer.bytes", server.socket_send_buffer_bytes);
  reader.read("socket.receive.buffer.bytes", server.socket_receive_buffer_bytes);
  reader.read("socket.listen.backlog.size", server.listen_backlog);
  reader.read("num.io.threads", config.disk_threads);
  reader.read("num.recovery.threads.per.data.dir", config.recovery_threads);
  reader.read("queued.max.requests", config.queued_max_requests);
  reader.read("fetch.max.bytes", config.fetch_max_bytes);
  reader.read("max.incremental.fetch.session.cache.slots", config.fetch_session_cache_slots);
  reader.read("log.flush.offset.checkpoint.interval.ms", config.checkpoint_interval_ms);
  reader.read("log.retention.check.interval.ms", config.maintenance_interval_ms);
  reader.read("producer.id.expiration.ms", config.producer_id_expiration_ms);
  reader.read("transaction.partition.verification.enable", config.verify_transactions);
  read_cleaner(reader, config.cleaner);
  reader.read("log.scrub.interval.ms", config.scrubber.interval_ms);
  reader.read("log.scrub.max.bytes.per.second", config.scrubber.max_bytes_per_second);
  reader.read("num.replica.alter.log.dirs.threads", config.move_threads);
  reader.read("replica.alter.log.dirs.io.max.bytes.per.second", config.move_max_bytes_per_second);
  if (server.reactor_threads < 1) reader.refuse("num.network.threads", "must be at least 1");
  if (config.disk_threads < 1) reader.refuse("num.io.threads", "must be at least 1");
  if (config.queued_max_requests < 1) reader.refuse("queued.max.requests", "must be at least 1");
  if (config.fetch_session_cache_slots < 0) {
    reader.refuse("max.incremental.fetch.session.cache.slots", "must not be negative");
  }
  if (reader.error().has_value()) return *std::move(reader.error());
  return config;
}

Result<storage::LogConfig> parse_log_config(const SettingMap& settings) {
  storage::LogConfig config;
  SettingReader reader(settings);
  reader.read("segment.bytes", config.segment_bytes);
  reader.read("internal.segment.bytes", config.segment_bytes);
  reader.read("segment.ms", config.segment_ms);
  reader.read("segment.jitter.ms", config.segment_jitter_ms);
  reader.read("segment.index.bytes", config.segment_index_bytes);
  reader.read("index.interval.bytes", config.index_interval_bytes);
  reader.read("flush.messages", config.flush_messages);
  reader.read("flush.ms", config.flush_ms);
  reader.read("retention.ms", config.retention_ms);
  reader.read("retention.bytes", config.retention_bytes);
  reader.read("file.delete.delay.ms", config.file_delete_delay_ms);
  reader.read("delete.retention.ms", config.delete_retention_ms);
  reader.read("min.compaction.lag.ms", config.min_compaction_lag_ms);
  reader.read("max.compaction.lag.ms", config.max_compaction_lag_ms);
  reader.read("min.cleanable.dirty.ratio", config.min_cleanable_dirty_ratio);
  reader.read("max.message.bytes", config.max_message_bytes);
  reader.read("message.timestamp.before.max.ms", config.timestamp_before_max_ms);
  reader.read("message.timestamp.after.max.ms", config.timestamp_after_max_ms);
  constexpr std::pair<std::string_view, record::TimestampType> kTimestampTypes[] = {
      {"CreateTime", record::TimestampType::kCreateTime},
      {"LogAppendTime", record::TimestampType::kLogAppendTime}};
  reader.read_choice("message.timestamp.type", kTimestampTypes, config.timestamp_type);
  read_cleanup_policy(reader, config);
  read_compression(reader, config);
  if (reader.error().has_value()) return *std::move(reader.error());
  return config;
}

record::ValidationPolicy validation_policy(const storage::LogConfig& config) {
  record::ValidationPolicy policy;
  policy.max_message_bytes = config.max_message_bytes;
  policy.timestamp_type = config.timestamp_type;
  policy.timestamp_before_max_ms = config.timestamp_before_max_ms;
  policy.timestamp_after_max_ms = config.timestamp_after_max_ms;
  policy.compacted = config.compact;
  policy.recompress = config.recompress;
  policy.target_codec = config.codec;
  policy.target_level = config.codec_level;
  return policy;
}

}  // namespace barnabas::dataplane
