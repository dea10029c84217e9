// A partition's lane: what it refuses, what it still waits for, and what comes after its end.
#include "embedded/lane.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "dataplane/broker_fixture.h"
#include "embedded/producer.h"
#include "record_of.h"

namespace barnabas::embedded {
namespace {

using Lanes = dataplane::BrokerTest;

constexpr int64_t kLong = 10'000'000'000;

Lane::Place send(Producer& producer, TopicLanes& topic, int32_t partition,
                 const std::string& value) {
  Lane::Place place = producer.add(topic, partition, record_of(value));
  while (place.added == Lane::Added::kNo) {
    producer.drain(topic, partition);
    place = producer.add(topic, partition, record_of(value));
  }
  if (place.added == Lane::Added::kFull) producer.drain(topic, partition);
  return place;
}

TEST_F(Lanes, a_batch_that_cannot_be_made_is_refused_and_the_next_has_an_outcome_of_its_own) {
  create("t", 1);
  Producer producer(*engine_, {.codec = record::Codec::kGzip, .level = 10});
  TopicLanes& topic = **producer.topic("t");
  std::shared_ptr<Outcome> before;
  for (int i = 0; i < 4; ++i) {
    const Lane::Place place = send(producer, topic, 0, "v");
    ASSERT_NE(place.outcome, nullptr);
    EXPECT_NE(place.outcome, before);
    EXPECT_EQ(place.index, 0);
    producer.drain(topic, 0);
    ASSERT_TRUE(place.outcome->done());
    EXPECT_NE(place.outcome->error(), ErrorCode::kNone);
    before = place.outcome;
  }
}

TEST_F(Lanes, a_transaction_is_told_of_a_batch_that_could_not_be_made) {
  create("t", 1);
  Producer producer(*engine_, {.codec = record::Codec::kGzip, .level = 10, .transactional = true});
  TopicLanes& topic = **producer.topic("t");
  const dataplane::TransactionalProducer who{7, 0};
  auto guard = producer.begin_transaction(topic, 0, who);
  ASSERT_TRUE(guard.ok());
  topic[0].join(who, *guard);
  (void)send(producer, topic, 0, "v");
  EXPECT_TRUE(producer.drain_all().empty());
  producer.shut_transaction(false);
  EXPECT_TRUE(producer.transaction_error().has_value());
  producer.leave_transaction();
  EXPECT_FALSE(producer.transaction_error().has_value());
}

TEST_F(Lanes, a_transaction_about_to_end_takes_nothing_more) {
  create("t", 2);
  Producer producer(*engine_, {.linger_ns = kLong, .transactional = true});
  TopicLanes& topic = **producer.topic("t");
  EXPECT_EQ(producer.add(topic, 0, record_of("v")).added, Lane::Added::kOutside);
  const dataplane::TransactionalProducer who{7, 0};
  for (const bool discards : {false, true}) {
    topic[0].join(who, *producer.begin_transaction(topic, 0, who));
    const Lane::Place open = producer.add(topic, 0, record_of("v"));
    ASSERT_EQ(open.added, Lane::Added::kFirst);
    EXPECT_TRUE(topic[0].joined());
    producer.shut_transaction(discards);
    EXPECT_FALSE(topic[0].joined());
    EXPECT_EQ(producer.add(topic, 0, record_of("v")).added, Lane::Added::kOutside);
    EXPECT_EQ(open.outcome->done(), discards);
    EXPECT_TRUE(producer.drain_all().empty());
    ASSERT_TRUE(open.outcome->done());
    EXPECT_EQ(open.outcome->error(), discards ? ErrorCode::kInvalidTxnState : ErrorCode::kNone);
    std::vector<uint8_t> data(3, 'v');
    const ByteColumn values = ByteColumn::of_fixed(data.data(), 1, 3, false);
    const ByteColumn keys = ByteColumn::nulls(3);
    const SentColumns sent = producer.send_many(topic, 0, {.values = &values, .keys = &keys});
    EXPECT_EQ(sent.error, ErrorCode::kInvalidTxnState);
    EXPECT_TRUE(sent.spans.empty());
    EXPECT_FALSE(producer.transaction_error().has_value());
    producer.leave_transaction();
  }
}

TEST_F(Lanes, a_closed_producer_takes_nothing_and_has_written_what_it_took) {
  constexpr int kThreads = 3;
  create("t", 2);
  for (int round = 0; round < 20; ++round) {
    Producer producer(*engine_, {.batch_bytes = 300, .linger_ns = 50'000});
    TopicLanes& topic = **producer.topic("t");
    std::atomic<int> taken{0};
    std::atomic<int> done{0};
    std::vector<std::thread> threads;
    for (int thread = 0; thread < kThreads; ++thread) {
      threads.emplace_back([&, thread] {
        while (true) {
          const Lane::Place place = send(producer, topic, thread % 2, "v");
          if (place.added == Lane::Added::kClosed) return;
          ++taken;
          ASSERT_NE(place.outcome, nullptr);
          if (!place.outcome->wait(kLong)) return;
          if (place.outcome->error() == ErrorCode::kNone) ++done;
        }
      });
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    producer.close();
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(done, taken);
    std::vector<uint8_t> data(3, 'v');
    const ByteColumn values = ByteColumn::of_fixed(data.data(), 1, 3, false);
    const ByteColumn keys = ByteColumn::nulls(3);
    const SentColumns sent = producer.send_many(topic, -1, {.values = &values, .keys = &keys});
    EXPECT_TRUE(sent.is_closed);
    EXPECT_TRUE(sent.spans.empty());
  }
}

TEST_F(Lanes, a_topic_that_was_made_again_with_fewer_partitions_is_written_to) {
  create("t", 4);
  Producer producer(*engine_, {.batch_bytes = 200});
  TopicLanes& topic = **producer.topic("t");
  for (int i = 0; i < 50; ++i) (void)send(producer, topic, topic.choose(std::nullopt), "value");
  ASSERT_TRUE(carry_out(engine_->begin_deletion("t")).ok());
  create("t", 2, {}, dataplane::id_of(2));
  int refused = 0;
  std::array<int, 2> written{};
  for (int i = 0; i < 100; ++i) {
    const int32_t partition = topic.choose(std::nullopt);
    const Lane::Place place = send(producer, topic, partition, "value");
    producer.drain(topic, partition);
    ASSERT_TRUE(place.outcome->wait(kLong));
    if (place.outcome->error() == ErrorCode::kNone) {
      ++written.at(static_cast<size_t>(partition));
    } else {
      ++refused;
    }
  }
  EXPECT_EQ(topic.count(), 2);
  EXPECT_LE(refused, 1);
  EXPECT_GT(written[0], 40);
  EXPECT_GT(written[1], 40);
}

TEST_F(Lanes, a_refused_batch_does_not_hide_one_that_waits_for_the_disk) {
  create("t", 1, {{"flush.messages", int64_t{1}}, {"max.message.bytes", int64_t{1000}}});
  Producer producer(*engine_, {});
  TopicLanes& topic = **producer.topic("t");
  for (int i = 0; i < 50; ++i) {
    const Lane::Place good = send(producer, topic, 0, "v");
    producer.drain(topic, 0);
    const bool waits = !good.outcome->done();
    const Lane::Place large = send(producer, topic, 0, std::string(2000, 'x'));
    producer.drain(topic, 0);
    EXPECT_TRUE(large.outcome->done());
    const auto unfinished = producer.drain_all();
    if (waits && !good.outcome->done()) ASSERT_FALSE(unfinished.empty());
    for (const auto& outcome : unfinished) EXPECT_TRUE(outcome->wait(kLong));
    EXPECT_TRUE(good.outcome->done());
  }
}

TEST_F(Lanes, an_append_after_the_engines_end_is_told_so) {
  create("t", 1, {{"flush.messages", int64_t{1}}});
  Producer producer(*engine_, {});
  TopicLanes& topic = **producer.topic("t");
  ASSERT_TRUE(engine_->stop(0, dataplane::LogsAtStop::kLeft).ok());
  const Lane::Place place = send(producer, topic, 0, "v");
  producer.drain(topic, 0);
  EXPECT_TRUE(place.outcome->wait(kLong)) << "nobody would wake who waits";
  EXPECT_NE(place.outcome->error(), ErrorCode::kNone);
}

TEST_F(Lanes, a_callback_may_close_its_producer_and_holds_up_no_flush_thread) {
  create("t", 1, {{"flush.messages", int64_t{1}}});
  std::atomic<bool> closed{false};
  std::atomic<bool> go_on{false};
  Producer producer(*engine_, {.linger_ns = kLong});  // which nobody else sends meanwhile
  TopicLanes& topic = **producer.topic("t");
  const Lane::Place slow = send(producer, topic, 0, "v");
  slow.outcome->when_done([&] {
    EXPECT_TRUE(Teller::is_this_thread() || slow.outcome->done());
    while (!go_on) std::this_thread::yield();
    producer.close();
    closed = true;
  });
  producer.drain(topic, 0);
  // More than there are flush threads.
  for (int i = 0; i < 20; ++i) {
    const Lane::Place place = send(producer, topic, 0, "v");
    place.outcome->when_done([&] {
      while (!go_on) std::this_thread::yield();
    });
    producer.drain(topic, 0);
    EXPECT_TRUE(place.outcome->wait(kLong)) << "a callback holds up who makes things durable";
  }
  go_on = true;
  EXPECT_TRUE(dataplane::eventually([&] { return closed.load(); }));
  EXPECT_TRUE(producer.teller().wait(producer.teller().given(), kLong));
}

}  // namespace
}  // namespace barnabas::embedded
