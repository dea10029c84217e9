// An engine that serves a socket on loopback from a temporary directory, and a client that speaks
// Produce and Fetch in any version.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "dataplane/engine.h"
#include "dataplane/request_reader.h"
#include "dataplane/response_writer.h"
#include "dataplane/topic_changes.h"
#include "net/client.h"
#include "storage/log_fixture.h"

namespace barnabas::dataplane {

using Bytes = std::vector<uint8_t>;

inline constexpr int16_t kProduce = 0;
inline constexpr int16_t kFetch = 1;

/// Polls until `condition` holds; false after ten seconds.
inline bool eventually(const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

inline int64_t now_ms() { return system_clock().monotonic_ms(); }

inline Uuid id_of(uint8_t last) {
  Uuid id;
  id.bytes[0] = 7;
  id.bytes[15] = last;
  return id;
}

struct ProduceOne {
  std::string topic = "t";
  Uuid topic_id;
  int32_t partition = 0;
  std::optional<Bytes> records = storage::make_batch({});
};

struct ProduceSpec {
  std::vector<ProduceOne> parts{ProduceOne{}};
  int16_t acks = -1;
  int32_t timeout_ms = 30'000;
  int16_t version = 9;
  std::optional<std::string> transactional_id;
};

struct ProduceAnswer {
  ErrorCode error = ErrorCode::kNone;
  int64_t base_offset = 0;
  int64_t log_append_time_ms = 0;
  int64_t log_start_offset = 0;
  std::vector<std::pair<int32_t, std::string>> record_errors;
  std::optional<std::string> message;
};

struct FetchOne {
  std::string topic = "t";
  Uuid topic_id;
  int32_t partition = 0;
  int64_t offset = 0;
  int32_t max_bytes = 1 << 20;
  int32_t current_leader_epoch = -1;
  int32_t last_fetched_epoch = -1;
};

struct FetchSpec {
  std::vector<FetchOne> parts{FetchOne{}};
  std::vector<FetchOne> forgotten;
  int32_t max_wait_ms = 0;
  int32_t min_bytes = 1;
  int32_t max_bytes = 50 << 20;
  int8_t isolation = 0;
  int32_t session_id = 0;
  int32_t session_epoch = -1;
  int32_t replica_id = -1;
  int16_t version = 12;
};

struct FetchedPartition {
  std::string topic;
  Uuid topic_id;
  int32_t partition = 0;
  ErrorCode error = ErrorCode::kNone;
  int64_t high_watermark = 0;
  int64_t last_stable_offset = 0;
  int64_t log_start_offset = 0;
  bool aborted_is_null = false;
  std::vector<std::pair<int64_t, int64_t>> aborted;  // producer id, first offset
  int32_t diverging_epoch = -1;
  int64_t diverging_end_offset = -1;
  int32_t leader_id = -1;
  int32_t leader_epoch = -1;
  Bytes records;
};

struct FetchAnswer {
  ErrorCode error = ErrorCode::kNone;
  int32_t session_id = 0;
  std::vector<FetchedPartition> parts;
};

inline bool flexible(int16_t api_key, int16_t version) {
  return version >= (api_key == kProduce ? 9 : 12);
}

/// A frame: length, header, message.
inline Bytes frame_of(int16_t api_key, int16_t version, int32_t correlation_id,
                      const Bytes& message, const std::string& client_id = "test") {
  ResponseWriter out(false, 64 + message.size());
  out.write(int32_t{0});
  out.write(api_key);
  out.write(version);
  out.write(correlation_id);
  out.write_string(client_id);
  if (flexible(api_key, version)) out.write(int8_t{0});
  out.write_bytes(message);
  Bytes frame = out.take();
  store_be<int32_t>(frame.data(), static_cast<int32_t>(frame.size() - 4));
  return frame;
}

inline Bytes encode(const ProduceSpec& spec) {
  ResponseWriter out(flexible(kProduce, spec.version), 256);
  if (spec.version >= 3) {
    out.write_nullable_string(spec.transactional_id.has_value()
                                  ? std::optional<std::string_view>(*spec.transactional_id)
                                  : std::nullopt);
  }
  out.write(spec.acks);
  out.write(spec.timeout_ms);
  out.write_array_length(spec.parts.size());
  for (const auto& part : spec.parts) {
    if (spec.version >= 13) {
      out.write_uuid(part.topic_id);
    } else {
      out.write_string(part.topic);
    }
    out.write_array_length(1);
    out.write(part.partition);
    if (part.records.has_value()) {
      out.write_records_length(part.records->size());
      out.write_bytes(*part.records);
    } else {
      out.write_null_array();
    }
    out.write_empty_tags();
    out.write_empty_tags();
  }
  out.write_empty_tags();
  return out.take();
}

inline Bytes encode(const FetchSpec& spec) {
  ResponseWriter out(flexible(kFetch, spec.version), 256);
  const auto write_topic = [&](const FetchOne& part) {
    if (spec.version >= 13) {
      out.write_uuid(part.topic_id);
    } else {
      out.write_string(part.topic);
    }
    out.write_array_length(1);
  };
  if (spec.version < 15) out.write(spec.replica_id);
  out.write(spec.max_wait_ms);
  out.write(spec.min_bytes);
  out.write(spec.max_bytes);
  out.write(spec.isolation);
  if (spec.version >= 7) {
    out.write(spec.session_id);
    out.write(spec.session_epoch);
  }
  out.write_array_length(spec.parts.size());
  for (const auto& part : spec.parts) {
    write_topic(part);
    out.write(part.partition);
    if (spec.version >= 9) out.write(part.current_leader_epoch);
    out.write(part.offset);
    if (spec.version >= 12) out.write(part.last_fetched_epoch);
    if (spec.version >= 5) out.write(int64_t{-1});
    out.write(part.max_bytes);
    out.write_empty_tags();
    out.write_empty_tags();
  }
  if (spec.version >= 7) {
    out.write_array_length(spec.forgotten.size());
    for (const auto& part : spec.forgotten) {
      write_topic(part);
      out.write(part.partition);
      out.write_empty_tags();
    }
  }
  if (spec.version >= 11) out.write_string("");
  if (spec.version >= 15 && spec.replica_id >= 0) {
    out.write_uvarint32(1);   // one tagged field:
    out.write_uvarint32(1);   // ReplicaState
    out.write_uvarint32(13);  // its size
    out.write(spec.replica_id);
    out.write(int64_t{-1});
    out.write(int8_t{0});
  } else {
    out.write_empty_tags();
  }
  return out.take();
}

inline std::optional<std::string> text_of(std::optional<std::string_view> text) {
  if (!text.has_value()) return std::nullopt;
  return std::string(*text);
}

/// The answers of a Produce response, one for each partition in order.
inline std::vector<ProduceAnswer> decode_produce(Bytes frame, int16_t version) {
  std::vector<ProduceAnswer> answers;
  RequestReader in(frame, version >= 9);
  in.read<int32_t>();  // correlation id
  in.skip_tags();
  for (size_t topics = in.read_array_length(1); topics > 0; --topics) {
    if (version >= 13) {
      in.read_uuid();
    } else {
      in.read_string();
    }
    for (size_t partitions = in.read_array_length(1); partitions > 0; --partitions) {
      ProduceAnswer answer;
      in.read<int32_t>();
      answer.error = static_cast<ErrorCode>(in.read<int16_t>());
      answer.base_offset = in.read<int64_t>();
      if (version >= 2) answer.log_append_time_ms = in.read<int64_t>();
      if (version >= 5) answer.log_start_offset = in.read<int64_t>();
      if (version >= 8) {
        for (size_t errors = in.read_array_length(1); errors > 0; --errors) {
          const auto index = in.read<int32_t>();
          answer.record_errors.emplace_back(index, text_of(in.read_nullable_string()).value_or(""));
          in.skip_tags();
        }
        answer.message = text_of(in.read_nullable_string());
      }
      in.skip_tags();
      answers.push_back(answer);
    }
    in.skip_tags();
  }
  if (version >= 1) in.read<int32_t>();
  in.skip_tags();
  EXPECT_TRUE(in.ok());
  EXPECT_EQ(in.bytes_left(), 0U);
  return answers;
}

inline FetchAnswer decode_fetch(Bytes frame, int16_t version) {
  FetchAnswer answer;
  RequestReader in(frame, version >= 12);
  in.read<int32_t>();  // correlation id
  in.skip_tags();
  in.read<int32_t>();  // throttle time
  if (version >= 7) {
    answer.error = static_cast<ErrorCode>(in.read<int16_t>());
    answer.session_id = in.read<int32_t>();
  }
  for (size_t topics = in.read_array_length(1); topics > 0; --topics) {
    FetchedPartition topic;
    if (version >= 13) {
      topic.topic_id = in.read_uuid();
    } else {
      topic.topic = std::string(in.read_string());
    }
    for (size_t partitions = in.read_array_length(1); partitions > 0; --partitions) {
      FetchedPartition part = topic;
      part.partition = in.read<int32_t>();
      part.error = static_cast<ErrorCode>(in.read<int16_t>());
      part.high_watermark = in.read<int64_t>();
      part.last_stable_offset = in.read<int64_t>();
      if (version >= 5) part.log_start_offset = in.read<int64_t>();
      const int32_t aborted = version >= 12 ? in.read<int8_t>() - 1 : in.read<int32_t>();
      part.aborted_is_null = aborted < 0;
      for (int32_t i = 0; i < aborted; ++i) {
        const auto producer_id = in.read<int64_t>();
        part.aborted.emplace_back(producer_id, in.read<int64_t>());
        in.skip_tags();
      }
      if (version >= 11) in.read<int32_t>();
      const auto records = in.read_nullable_records();
      if (records.has_value()) part.records.assign(records->begin(), records->end());
      in.read_tags([&part](uint32_t tag, RequestReader& value) {
        if (tag == 0) {
          part.diverging_epoch = value.read<int32_t>();
          part.diverging_end_offset = value.read<int64_t>();
        } else if (tag == 1) {
          part.leader_id = value.read<int32_t>();
          part.leader_epoch = value.read<int32_t>();
        }
      });
      answer.parts.push_back(std::move(part));
    }
    in.skip_tags();
  }
  in.skip_tags();
  EXPECT_TRUE(in.ok());
  EXPECT_EQ(in.bytes_left(), 0U);
  return answer;
}

/// First offsets of the whole batches in fetched records.
inline std::vector<int64_t> base_offsets(const Bytes& records) {
  std::vector<int64_t> offsets;
  for (ByteView rest(records); const auto batch = record::peek_batch(rest);) {
    offsets.push_back(batch->base_offset());
    rest = rest.subspan(batch->size_bytes());
  }
  return offsets;
}

class BrokerClient {
 public:
  explicit BrokerClient(uint16_t port) : socket_(port) { EXPECT_TRUE(socket_.connected()); }

  void send(const ProduceSpec& spec, const std::string& client_id = "test") {
    EXPECT_TRUE(socket_.send(frame_of(kProduce, spec.version, ++sent_, encode(spec), client_id)));
  }
  void send(const FetchSpec& spec) {
    EXPECT_TRUE(socket_.send(frame_of(kFetch, spec.version, ++sent_, encode(spec))));
  }
  /// The next answer's frame; checks that answers come in the order of the requests.
  Bytes receive() {
    Bytes frame = socket_.receive_frame();
    EXPECT_GE(frame.size(), 4U) << "no answer";
    if (frame.size() >= 4) {
      EXPECT_GT(load_be<int32_t>(frame.data()), received_);
      received_ = load_be<int32_t>(frame.data());
    }
    return frame;
  }
  std::vector<ProduceAnswer> produce(const ProduceSpec& spec,
                                     const std::string& client_id = "test") {
    send(spec, client_id);
    return decode_produce(receive(), spec.version);
  }
  /// Of a request for one partition.
  ProduceAnswer produce_one(const ProduceSpec& spec, const std::string& client_id = "test") {
    const auto answers = produce(spec, client_id);
    EXPECT_EQ(answers.size(), 1U);
    return answers.empty() ? ProduceAnswer{} : answers.front();
  }
  FetchAnswer fetch(const FetchSpec& spec) {
    send(spec);
    return decode_fetch(receive(), spec.version);
  }
  FetchedPartition fetch_one(const FetchSpec& spec) {
    const auto answer = fetch(spec);
    EXPECT_EQ(answer.error, ErrorCode::kNone);
    EXPECT_EQ(answer.parts.size(), 1U);
    return answer.parts.empty() ? FetchedPartition{} : answer.parts.front();
  }
  net::testing::Client& socket() { return socket_; }

 private:
  net::testing::Client socket_;
  int32_t sent_ = 0;
  int32_t received_ = 0;
};

class BrokerTest : public ::testing::Test {
 protected:
  void SetUp() override { open(); }
  void TearDown() override { engine_.reset(); }

  void open(SettingMap settings = {}, const std::vector<std::string>& names = {"data"}) {
    settings.try_emplace("num.network.threads", int64_t{2});
    auto engine = Engine::create(settings);
    ASSERT_TRUE(engine.ok()) << engine.error().message;
    engine_ = std::move(engine).value();
    std::vector<std::string> paths;
    for (const std::string& name : names) paths.push_back(directory_.path() + "/" + name);
    const auto identity = engine_->open_directories(paths, "cluster", 1);
    ASSERT_TRUE(identity.ok()) << identity.error().message;
    was_clean_ = identity->front().was_clean;
    ASSERT_TRUE(engine_->make_directories({}).ok());
    const auto port = engine_->listen("127.0.0.1", 0);
    ASSERT_TRUE(port.ok()) << port.error().message;
    port_ = *port;
  }
  void start() {
    const Status started = engine_->start();
    ASSERT_TRUE(started.ok()) << started.error().message;
  }
  void create(const std::string& topic, int partitions = 1, SettingMap config = {},
              Uuid id = id_of(1)) {
    std::vector<std::pair<int32_t, int32_t>> indexes;
    for (int i = 0; i < partitions; ++i) indexes.emplace_back(i, 0);
    const Status created = carry_out(engine_->begin_creation(topic, id, indexes, config));
    ASSERT_TRUE(created.ok()) << created.error().message;
  }
  int64_t stat(const std::string& name) {
    for (const auto& [key, value] : engine_->stats()) {
      if (key == name) return value;
    }
    ADD_FAILURE() << "no statistic " << name;
    return -1;
  }
  bool parked(int64_t count) {
    return eventually([&] { return stat("requests_parked") == count; });
  }

  storage::TemporaryDirectory directory_;
  std::unique_ptr<Engine> engine_;
  uint16_t port_ = 0;
  bool was_clean_ = false;
};

inline ProduceSpec produce_of(Bytes records, int32_t partition = 0, std::string topic = "t") {
  ProduceSpec spec;
  spec.parts[0].records = std::move(records);
  spec.parts[0].partition = partition;
  spec.parts[0].topic = std::move(topic);
  return spec;
}

inline FetchSpec fetch_of(int64_t offset, int32_t partition = 0, std::string topic = "t") {
  FetchSpec spec;
  spec.parts[0].offset = offset;
  spec.parts[0].partition = partition;
  spec.parts[0].topic = std::move(topic);
  return spec;
}

}  // namespace barnabas::dataplane
