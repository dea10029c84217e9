// Produce over a socket: what a client is answered, and what lies in the log afterwards.
#include <gtest/gtest.h>

#include "base/crc32c.h"
#include "dataplane/broker_fixture.h"
#include "dataplane/produce_handler.h"

namespace barnabas::dataplane {
namespace {

class ProduceTest : public BrokerTest {
 protected:
  void SetUp() override {
    open();
    create("t", 2);
    start();
  }
  int64_t log_end(const std::string& topic = "t", int32_t partition = 0) {
    return engine_->partition_info(topic, partition)->log_end_offset;
  }
};

TEST_F(ProduceTest, offsets_follow_each_other) {
  BrokerClient client(port_);
  EXPECT_EQ(client.produce_one(produce_of(storage::make_batch({.records = 3}))).base_offset, 0);
  EXPECT_EQ(client.produce_one(produce_of(storage::make_batch({.records = 2}))).base_offset, 3);
  EXPECT_EQ(log_end(), 5);
  EXPECT_EQ(engine_->partition_info("t", 0)->high_watermark, 5);
}

TEST_F(ProduceTest, every_version_is_answered_in_its_own_layout) {
  BrokerClient client(port_);
  for (int16_t version = 3; version <= 13; ++version) {
    ProduceSpec spec;
    spec.version = version;
    spec.parts[0].topic_id = id_of(1);
    const auto answer = client.produce_one(spec);
    EXPECT_EQ(answer.error, ErrorCode::kNone) << version;
    EXPECT_EQ(answer.base_offset, version - 3);
    EXPECT_EQ(answer.log_start_offset, version >= 5 ? 0 : answer.log_start_offset);
    EXPECT_EQ(answer.log_append_time_ms, -1);
  }
}

TEST_F(ProduceTest, versions_before_3_are_refused) {
  BrokerClient client(port_);
  for (int16_t version = 0; version < 3; ++version) {
    ProduceSpec spec;
    spec.version = version;
    EXPECT_EQ(client.produce_one(spec).error, ErrorCode::kUnsupportedVersion);
  }
  EXPECT_EQ(log_end(), 0);
}

TEST_F(ProduceTest, unknown_topic_partition_and_id_each_have_their_error) {
  BrokerClient client(port_);
  ProduceSpec spec;
  spec.parts = {{.topic = "absent"}, {.partition = 2}, {.partition = -1}, {.partition = 1}};
  const auto answers = client.produce(spec);
  ASSERT_EQ(answers.size(), 4U);
  EXPECT_EQ(answers[0].error, ErrorCode::kUnknownTopicOrPartition);
  EXPECT_EQ(answers[1].error, ErrorCode::kUnknownTopicOrPartition);
  EXPECT_EQ(answers[2].error, ErrorCode::kUnknownTopicOrPartition);
  EXPECT_EQ(answers[3].error, ErrorCode::kNone);
  EXPECT_EQ(answers[0].base_offset, -1);
  spec.version = 13;
  spec.parts = {{.topic_id = id_of(9)}, {.topic_id = Uuid{}}};
  for (const auto& answer : client.produce(spec)) {
    EXPECT_EQ(answer.error, ErrorCode::kUnknownTopicId);
  }
}

TEST_F(ProduceTest, acks_other_than_0_1_all_are_refused_and_nothing_is_appended) {
  BrokerClient client(port_);
  ProduceSpec spec;
  spec.acks = 2;
  EXPECT_EQ(client.produce_one(spec).error, ErrorCode::kInvalidRequiredAcks);
  EXPECT_EQ(log_end(), 0);
}

TEST_F(ProduceTest, acks_1_is_answered) {
  BrokerClient client(port_);
  ProduceSpec spec;
  spec.acks = 1;
  EXPECT_EQ(client.produce_one(spec).error, ErrorCode::kNone);
}

TEST_F(ProduceTest, acks_0_has_no_answer) {
  BrokerClient client(port_);
  ProduceSpec silent;
  silent.acks = 0;
  client.send(silent);
  client.send(silent);
  EXPECT_EQ(client.produce_one({}).base_offset, 2);  // the only answer, to the third request
}

TEST_F(ProduceTest, acks_0_with_an_error_closes_the_connection) {
  BrokerClient client(port_);
  ProduceSpec silent;
  silent.acks = 0;
  silent.parts[0].topic = "absent";
  client.send(silent);
  EXPECT_TRUE(client.socket().closed_by_server());
}

TEST_F(ProduceTest, a_wrong_crc_is_refused_and_nothing_is_appended) {
  BrokerClient client(port_);
  Bytes batch = storage::make_batch({});
  batch.back() ^= 1;
  const auto answer = client.produce_one(produce_of(batch));
  EXPECT_EQ(answer.error, ErrorCode::kCorruptMessage);
  EXPECT_EQ(answer.base_offset, -1);
  EXPECT_EQ(log_end(), 0);
}

TEST_F(ProduceTest, a_partition_named_twice_is_appended_and_answered_once_as_named_last) {
  BrokerClient client(port_);
  ProduceSpec spec;
  spec.parts = {{.partition = 0, .records = storage::make_batch({.records = 1})},
                {.topic = "unknown"},
                {.partition = 1},
                {.topic = "unknown"},
                {.partition = 0, .records = storage::make_batch({.records = 5})}};
  const auto answers = client.produce(spec);
  ASSERT_EQ(answers.size(), 3U);
  EXPECT_EQ(log_end("t", 0), 5);
  EXPECT_EQ(log_end("t", 1), 1);
}

TEST_F(ProduceTest, the_records_to_blame_are_bounded_over_the_whole_request) {
  create("many", 30, {{"message.timestamp.after.max.ms", int64_t{1000}}}, id_of(3));
  ProduceSpec spec;
  spec.version = 8;
  spec.parts.clear();
  const int64_t future_ms = system_clock().wall_ms() + 1'000'000'000;
  for (int32_t partition = 0; partition < 30; ++partition) {
    spec.parts.push_back({.topic = "many", .partition = partition});
    spec.parts.back().records = storage::make_batch({.records = 900, .timestamp = future_ms});
  }
  BrokerClient client(port_);
  size_t blamed = 0;
  for (const auto& answer : client.produce(spec)) {
    EXPECT_EQ(answer.error, ErrorCode::kInvalidTimestamp);
    EXPECT_TRUE(answer.message.has_value());
    blamed += answer.record_errors.size();
  }
  EXPECT_EQ(blamed, ProduceHandler::kMaxRecordErrors);
}

TEST_F(ProduceTest, batches_that_expand_to_much_are_appended_in_order_and_bombs_are_refused) {
  const auto bomb =
      storage::make_batch({.records = 60, .value_bytes = 1'000'000, .codec = record::Codec::kGzip});
  create("large", 20, {}, id_of(3));
  ProduceSpec spec;
  spec.parts.clear();
  for (int32_t partition = 0; partition < 20; ++partition) {
    spec.parts.push_back({.topic = "large", .partition = partition, .records = bomb});
  }
  BrokerClient client(port_);
  client.send(spec);
  // What follows on the connection comes after it; another connection is not kept waiting.
  client.send(produce_of(storage::make_batch({}), 0, "large"));
  BrokerClient bystander(port_);
  BrokerClient another(port_);  // one of the two shares the reactor
  EXPECT_EQ(bystander.produce_one({}).error, ErrorCode::kNone);
  EXPECT_EQ(another.produce_one({}).error, ErrorCode::kNone);
  EXPECT_FALSE(client.socket().has_something_to_receive());
  const auto answers = decode_produce(client.receive(), spec.version);
  ASSERT_EQ(answers.size(), 20U);
  EXPECT_EQ(answers[0].error, ErrorCode::kNone);
  EXPECT_EQ(answers[1].error, ErrorCode::kNone);
  for (size_t i = 2; i < 20; ++i) EXPECT_EQ(answers[i].error, ErrorCode::kMessageTooLarge);
  EXPECT_EQ(decode_produce(client.receive(), 9)[0].base_offset, 60);
}

TEST_F(ProduceTest, null_empty_and_doubled_batches_are_refused) {
  BrokerClient client(port_);
  ProduceSpec spec;
  spec.parts[0].records = std::nullopt;
  EXPECT_EQ(client.produce_one(spec).error, ErrorCode::kInvalidRecord);
  spec.parts[0].records = Bytes{};
  EXPECT_EQ(client.produce_one(spec).error, ErrorCode::kInvalidRecord);
  Bytes two = storage::make_batch({});
  const Bytes one = two;
  two.insert(two.end(), one.begin(), one.end());
  EXPECT_EQ(client.produce_one(produce_of(two)).error, ErrorCode::kInvalidRecord);
  EXPECT_EQ(log_end(), 0);
}

TEST_F(ProduceTest, a_keyless_record_in_a_compacted_topic_is_named_from_version_8_on) {
  create("compacted", 1, {{"cleanup.policy", std::string("compact")}}, id_of(2));
  record::BatchBuilder builder({});
  builder.append(storage::ManualClock().wall_ms(), as_bytes("key"), as_bytes("value"));
  builder.append(storage::ManualClock().wall_ms(), std::nullopt, as_bytes("value"));
  ProduceSpec spec = produce_of(*builder.build(), 0, "compacted");
  BrokerClient client(port_);
  spec.version = 8;
  const auto answer = client.produce_one(spec);
  EXPECT_EQ(answer.error, ErrorCode::kInvalidRecord);
  ASSERT_EQ(answer.record_errors.size(), 1U);
  EXPECT_EQ(answer.record_errors[0].first, 1);
  EXPECT_TRUE(answer.message.has_value());
  EXPECT_EQ(answer.log_start_offset, 0);
  spec.version = 7;
  EXPECT_EQ(client.produce_one(spec).error, ErrorCode::kInvalidRecord);
}

TEST_F(ProduceTest, a_batch_above_max_message_bytes_is_refused) {
  create("small", 1, {{"max.message.bytes", int64_t{100}}}, id_of(2));
  BrokerClient client(port_);
  const auto answer =
      client.produce_one(produce_of(storage::make_batch({.value_bytes = 200}), 0, "small"));
  EXPECT_EQ(answer.error, ErrorCode::kMessageTooLarge);
}

TEST_F(ProduceTest, zstd_needs_version_7) {
  BrokerClient client(port_);
  ProduceSpec spec = produce_of(storage::make_batch({.codec = record::Codec::kZstd}));
  spec.version = 6;
  EXPECT_EQ(client.produce_one(spec).error, ErrorCode::kUnsupportedCompressionType);
  spec.version = 7;
  EXPECT_EQ(client.produce_one(spec).error, ErrorCode::kNone);
}

TEST_F(ProduceTest, internal_topics_take_records_of_the_admin_client_only) {
  create("__consumer_offsets", 1, {}, id_of(2));
  BrokerClient client(port_);
  const auto spec = produce_of(storage::make_batch({}), 0, "__consumer_offsets");
  EXPECT_EQ(client.produce_one(spec).error, ErrorCode::kInvalidTopicException);
  EXPECT_EQ(client.produce_one(spec, "__admin_client").error, ErrorCode::kNone);
}

TEST_F(ProduceTest, a_transactional_batch_without_a_transactional_id_refuses_the_whole_request) {
  BrokerClient client(port_);
  ProduceSpec spec = produce_of(storage::make_batch({.producer_id = 5, .transactional = true}));
  spec.parts.push_back({.partition = 1});
  for (const auto& answer : client.produce(spec)) {
    EXPECT_EQ(answer.error, ErrorCode::kTransactionalIdAuthorizationFailed);
  }
  EXPECT_EQ(log_end("t", 1), 0);
}

TEST_F(ProduceTest, a_batch_of_an_old_format_is_refused_whatever_its_bytes_say) {
  BrokerClient client(port_);
  Bytes batch = storage::make_batch({.producer_id = 5, .transactional = true});
  batch[record::field::kMagicByte] = 1;
  EXPECT_EQ(client.produce_one(produce_of(batch)).error, ErrorCode::kInvalidRecord);
}

TEST_F(ProduceTest, a_retried_sequence_keeps_its_first_offset_and_a_gap_is_refused) {
  BrokerClient client(port_);
  const auto batch = [](int32_t sequence) {
    return produce_of(storage::make_batch({.producer_id = 5, .base_sequence = sequence}));
  };
  EXPECT_EQ(client.produce_one(batch(0)).base_offset, 0);
  EXPECT_EQ(client.produce_one(batch(1)).base_offset, 1);
  EXPECT_EQ(client.produce_one(batch(0)).base_offset, 0);
  EXPECT_EQ(client.produce_one(batch(3)).error, ErrorCode::kOutOfOrderSequenceNumber);
  EXPECT_EQ(log_end(), 2);
}

TEST_F(ProduceTest, log_append_time_is_told) {
  create("stamped", 1, {{"message.timestamp.type", std::string("LogAppendTime")}}, id_of(2));
  BrokerClient client(port_);
  const int64_t before_ms = system_clock().wall_ms();
  const auto answer = client.produce_one(produce_of(storage::make_batch({}), 0, "stamped"));
  EXPECT_EQ(answer.error, ErrorCode::kNone);
  EXPECT_GE(answer.log_append_time_ms, before_ms);
  EXPECT_LE(answer.log_append_time_ms, system_clock().wall_ms());
}

TEST_F(ProduceTest, min_insync_replicas_is_capped_by_the_replicas_there_are) {
  create("careful", 1, {{"min.insync.replicas", int64_t{2}}}, id_of(2));
  BrokerClient client(port_);
  EXPECT_EQ(client.produce_one(produce_of(storage::make_batch({}), 0, "careful")).error,
            ErrorCode::kNone);
}

TEST_F(ProduceTest, pipelined_requests_are_answered_in_order) {
  BrokerClient client(port_);
  constexpr int kRequests = 100;
  for (int i = 0; i < kRequests; ++i) client.send(ProduceSpec{});
  for (int i = 0; i < kRequests; ++i) {
    const auto answers = decode_produce(client.receive(), 9);
    ASSERT_EQ(answers.size(), 1U);
    EXPECT_EQ(answers[0].base_offset, i);
  }
}

TEST_F(ProduceTest, an_ill_formed_request_closes_the_connection_and_appends_nothing) {
  const Bytes good = encode(ProduceSpec{});
  for (size_t length = 0; length < good.size(); length += 3) {
    BrokerClient client(port_);
    const Bytes cut(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(length));
    ASSERT_TRUE(client.socket().send(frame_of(kProduce, 9, 1, cut)));
    EXPECT_TRUE(client.socket().closed_by_server()) << "cut at " << length;
  }
  EXPECT_EQ(log_end(), 0);
}

TEST_F(ProduceTest, a_version_nobody_knows_closes_the_connection) {
  BrokerClient client(port_);
  ASSERT_TRUE(client.socket().send(frame_of(kProduce, 14, 1, encode(ProduceSpec{}))));
  EXPECT_TRUE(client.socket().closed_by_server());
}

}  // namespace
}  // namespace barnabas::dataplane
