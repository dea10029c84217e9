// Fetch with read_committed: up to the last stable offset, with what was aborted.
#include "transaction_fixture.h"

namespace barnabas::dataplane {
namespace {

class TransactionFetchTest : public TransactionBrokerTest {
 protected:
  static FetchSpec committed(int64_t offset, int16_t version = 12) {
    FetchSpec spec = fetch_of(offset);
    spec.isolation = 1;
    spec.version = version;
    spec.parts[0].topic_id = id_of(1);
    return spec;
  }
  static FetchSpec waiting(FetchSpec spec, int32_t min_bytes = 1) {
    spec.max_wait_ms = 30'000;
    spec.min_bytes = min_bytes;
    return spec;
  }
};

TEST_F(TransactionFetchTest, read_committed_ends_at_the_last_stable_offset_in_every_version) {
  BrokerClient client(port_);
  client.produce_one(ProduceSpec{});                  // 0
  produce_verified(client, transactional(0));         // 1
  end(false);                                         // 2
  client.produce_one(ProduceSpec{});                  // 3
  produce_verified(client, transactional(0, 11, 6));  // 4, open
  client.produce_one(ProduceSpec{});                  // 5
  for (int16_t version = 4; version <= 18; ++version) {
    const auto part = client.fetch_one(committed(0, version));
    EXPECT_EQ(part.error, ErrorCode::kNone);
    EXPECT_EQ(part.high_watermark, 6);
    EXPECT_EQ(part.last_stable_offset, 4);
    EXPECT_EQ(base_offsets(part.records), (std::vector<int64_t>{0, 1, 2, 3})) << version;
    EXPECT_EQ(part.aborted, (std::vector<std::pair<int64_t, int64_t>>{{5, 1}})) << version;

    FetchSpec spec = committed(0, version);
    spec.isolation = 0;
    const auto all = client.fetch_one(spec);
    EXPECT_EQ(base_offsets(all.records).size(), 6U);
    EXPECT_EQ(all.last_stable_offset, 4);
    EXPECT_TRUE(all.aborted_is_null);
  }
  const auto end_of_stable = client.fetch_one(committed(4));
  EXPECT_EQ(end_of_stable.error, ErrorCode::kNone);
  EXPECT_TRUE(end_of_stable.records.empty());
  EXPECT_FALSE(end_of_stable.aborted_is_null);
  EXPECT_EQ(client.fetch_one(committed(5)).error, ErrorCode::kNone);
}

TEST_F(TransactionFetchTest, a_waiting_fetch_is_answered_by_the_marker_not_by_the_records) {
  BrokerClient producer(port_);
  BrokerClient consumer(port_);
  consumer.send(waiting(committed(0)));
  ASSERT_TRUE(parked(1));
  produce_verified(producer, transactional(0));
  producer.produce_one(ProduceSpec{});
  ASSERT_TRUE(parked(1));
  end(true);
  const auto part = decode_fetch(consumer.receive(), 12).parts.at(0);
  EXPECT_EQ(base_offsets(part.records), (std::vector<int64_t>{0, 1, 2}));
  EXPECT_TRUE(part.aborted.empty());
}

TEST_F(TransactionFetchTest, the_bytes_of_a_whole_transaction_count_once_it_ends) {
  BrokerClient producer(port_);
  BrokerClient consumer(port_);
  const auto bytes = static_cast<int32_t>(3 * batch_of(0).size());
  consumer.send(waiting(committed(0), bytes));
  ASSERT_TRUE(parked(1));
  produce_verified(producer, transactional(0));
  producer.produce_one(transactional(1));
  producer.produce_one(transactional(2));
  ASSERT_TRUE(parked(1));
  end(false);
  const auto first = decode_fetch(consumer.receive(), 12).parts.at(0);
  EXPECT_EQ(base_offsets(first.records), (std::vector<int64_t>{0, 1, 2, 3}));
  EXPECT_EQ(first.aborted, (std::vector<std::pair<int64_t, int64_t>>{{5, 0}}));

  // One that finds a transaction open counts its bytes as well.
  produce_verified(producer, transactional(3));
  producer.produce_one(transactional(4));
  consumer.send(waiting(committed(4), bytes));
  ASSERT_TRUE(parked(1));
  producer.produce_one(transactional(5));
  ASSERT_TRUE(parked(1));
  end(true);
  EXPECT_EQ(base_offsets(decode_fetch(consumer.receive(), 12).parts.at(0).records).size(), 4U);
}

TEST_F(TransactionFetchTest, too_little_becomes_stable_and_the_fetch_waits_on) {
  BrokerClient producer(port_);
  BrokerClient consumer(port_);
  produce_verified(producer, transactional(0));
  consumer.send(waiting(committed(0), 1 << 20));
  ASSERT_TRUE(parked(1));
  end(true);
  producer.produce_one(ProduceSpec{});
  ASSERT_TRUE(parked(1));
  producer.produce_one(produce_of(storage::make_batch({.value_bytes = 900'000})));
  ASSERT_TRUE(parked(1));
  producer.produce_one(produce_of(storage::make_batch({.value_bytes = 900'000})));
  const auto part = decode_fetch(consumer.receive(), 12).parts.at(0);
  EXPECT_GE(part.records.size(), 1U << 20);
}

TEST_F(TransactionFetchTest, without_transactions_an_append_answers) {
  BrokerClient producer(port_);
  BrokerClient consumer(port_);
  consumer.send(waiting(committed(0)));
  ASSERT_TRUE(parked(1));
  producer.produce_one(ProduceSpec{});
  EXPECT_EQ(base_offsets(decode_fetch(consumer.receive(), 12).parts.at(0).records),
            std::vector<int64_t>{0});
}

TEST_F(TransactionFetchTest, what_waits_for_an_fdatasync_is_not_stable) {
  create("synced", 1, {{"flush.messages", int64_t{1}}, {"segment.ms", INT64_MAX}}, id_of(3));
  BrokerClient producer(port_);
  BrokerClient consumer(port_);
  ProduceSpec spec = transactional(0);
  spec.parts[0].topic = "synced";
  produce_verified(producer, spec);
  FetchSpec fetch = waiting(committed(0));
  fetch.parts[0].topic = "synced";
  consumer.send(fetch);
  ASSERT_TRUE(parked(1));
  ASSERT_EQ(append_marker(*engine_, "synced", 0, {{5, 0}, true, 0, 0}), ErrorCode::kNone);
  EXPECT_EQ(base_offsets(decode_fetch(consumer.receive(), 12).parts.at(0).records),
            (std::vector<int64_t>{0, 1}));
}

}  // namespace
}  // namespace barnabas::dataplane
