// Producers and consumers in the process: threads that send, drain and read at once, and columns
// that lie.
#include "embedded/producer.h"

#include <gtest/gtest.h>
#include <poll.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "dataplane/broker_fixture.h"
#include "embedded/fetcher.h"
#include "record_of.h"

namespace barnabas::embedded {
namespace {

class EmbeddedTest : public dataplane::BrokerTest {
 protected:
  /// All values of a partition, and how many fetches they took.
  std::vector<std::string> read(int32_t partition) {
    std::vector<std::string> values;
    for (int64_t offset = 0;;) {
      auto fetched = fetch_columns(*engine_, *pool_, "t", partition, offset, {.max_bytes = 4096});
      EXPECT_TRUE(fetched.ok());
      if (!fetched.ok() || (*fetched)->columns.offsets.empty()) return values;
      const record::RecordColumns& columns = (*fetched)->columns;
      EXPECT_EQ(columns.offsets[0], offset);
      for (const record::BinaryView& view : columns.values.views()) {
        values.emplace_back(
            as_text({view.data(columns.buffers), static_cast<size_t>(view.length)}));
      }
      offset = (*fetched)->next_offset;
    }
  }

  const std::shared_ptr<FetchPool> pool_ = FetchPool::create();
};

TEST_F(EmbeddedTest, threads_that_send_drain_and_read_lose_nothing) {
  constexpr int kThreads = 3;
  constexpr int kRecords = 3000;
  create("t", 2);
  Producer producer(*engine_, {.batch_bytes = 500, .linger_ns = 100'000});
  auto topic = producer.topic("t");
  ASSERT_TRUE(topic.ok());
  std::atomic<int> told{0};
  std::vector<std::thread> threads;
  for (int thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&, thread] {
      for (int i = 0; i < kRecords; ++i) {
        const std::string value = std::to_string(thread) + " " + std::to_string(i);
        const int32_t partition = i % 2;
        Lane::Place place = producer.add(**topic, partition, record_of(value));
        while (place.added == Lane::Added::kNo) {
          producer.drain(**topic, partition);
          place = producer.add(**topic, partition, record_of(value));
        }
        if (place.added == Lane::Added::kFull) producer.drain(**topic, partition);
        if (i % 100 == 0) producer.hurry(**topic, partition, place.outcome);
        place.outcome->when_done([&told] { ++told; });
        if (i % 500 == 0) EXPECT_TRUE(place.outcome->wait(10'000'000'000));
      }
    });
  }
  std::atomic<bool> over{false};
  std::thread reader([&] {
    while (!over) (void)read(0);
  });
  for (std::thread& thread : threads) thread.join();
  over = true;
  reader.join();
  for (const auto& outcome : producer.drain_all()) EXPECT_TRUE(outcome->wait(10'000'000'000));
  EXPECT_TRUE(producer.teller().wait(producer.teller().given(), 10'000'000'000));
  EXPECT_EQ(told, kThreads * kRecords);
  for (int32_t partition = 0; partition < 2; ++partition) {
    std::map<std::string, int> last;
    const auto values = read(partition);
    EXPECT_EQ(values.size(), size_t{kThreads * kRecords / 2});
    for (const std::string& value : values) {
      const std::string thread = value.substr(0, 1);
      const int number = std::stoi(value.substr(2));
      if (last.contains(thread)) EXPECT_EQ(number, last[thread] + 2);
      last[thread] = number;
    }
  }
}

TEST_F(EmbeddedTest, what_was_sent_is_forgotten_while_its_linger_time_lasts) {
  create("t", 2);
  Producer producer(*engine_, {.linger_ns = 3'600'000'000'000});
  auto topic = producer.topic("t");
  ASSERT_TRUE(topic.ok());
  auto lingering = producer.add(**topic, 1, record_of("lingers")).outcome;
  std::vector<std::weak_ptr<Outcome>> sent;
  for (int i = 0; i < 100; ++i) {
    const auto batch = producer.add(**topic, 0, record_of(std::to_string(i))).outcome;
    if (i % 2 == 0) {
      producer.drain(**topic, 0);
      producer.hurry(**topic, 0, batch);  // too late
    } else {
      producer.hurry(**topic, 0, batch);
    }
    EXPECT_TRUE(batch->wait(10'000'000'000));
    sent.push_back(batch);
  }
  (void)producer.drain_all();
  const auto remembered =
      std::count_if(sent.begin(), sent.end(), [](const auto& batch) { return !batch.expired(); });
  EXPECT_LE(remembered, 2);
  EXPECT_TRUE(lingering->done());
}

TEST_F(EmbeddedTest, a_batch_lingers_although_the_one_before_is_hurried_late) {
  create("t", 1);
  Producer producer(*engine_, {.linger_ns = 20'000'000});
  auto topic = producer.topic("t");
  ASSERT_TRUE(topic.ok());
  const auto first = producer.add(**topic, 0, record_of("first")).outcome;
  producer.drain(**topic, 0);
  const auto second = producer.add(**topic, 0, record_of("second")).outcome;
  producer.hurry(**topic, 0, first);
  EXPECT_TRUE(second->wait(10'000'000'000));
}

TEST_F(EmbeddedTest, a_batch_is_not_larger_than_it_may_be) {
  create("t", 1);
  Producer producer(*engine_, {.batch_bytes = 1000, .linger_ns = 3'600'000'000'000});
  auto topic = producer.topic("t");
  ASSERT_TRUE(topic.ok());
  const std::string value(300, 'v');
  int refused = 0;
  for (int i = 0; i < 30; ++i) {
    const Lane::Place place = producer.add(**topic, 0, record_of(value));
    if (place.added == Lane::Added::kNo) {
      ++refused;
      producer.drain(**topic, 0);
    }
  }
  producer.close();
  EXPECT_GT(refused, 5);
  auto fetched = engine_->fetch("t", 0, 0, 1 << 20, false);
  ASSERT_TRUE(fetched.ok());
  for (size_t at = 0; at < fetched->bytes.size();) {
    const auto batch = record::peek_batch({fetched->bytes.data() + at, fetched->bytes.size() - at});
    ASSERT_TRUE(batch.has_value());
    EXPECT_LE(batch->size_bytes(), 1000U);
    at += batch->size_bytes();
  }
}

TEST_F(EmbeddedTest, a_signal_rings_for_what_comes_and_for_what_is_there) {
  create("t", 1);
  auto signal = engine_->make_ready_signal(false);
  ASSERT_TRUE(signal.ok());
  const auto rings = [&] {
    pollfd waiting{(*signal)->fd(), POLLIN, 0};
    return ::poll(&waiting, 1, 0) == 1;
  };
  const std::vector<dataplane::WatchedPartition> from_start{{"t", 0, 0}};
  (*signal)->watch(from_start);
  EXPECT_FALSE(rings());
  Producer producer(*engine_, {});
  auto topic = producer.topic("t");
  (void)producer.add(**topic, 0, record_of("a"));
  producer.drain(**topic, 0);
  EXPECT_TRUE(rings());
  (*signal)->clear();
  EXPECT_FALSE(rings());
  (*signal)->watch(from_start);
  EXPECT_TRUE(rings()) << "there is something already";
  (*signal)->clear();
  const std::vector<dataplane::WatchedPartition> from_end{{"t", 0, 1}};
  (*signal)->watch(from_end);
  EXPECT_FALSE(rings());
  ASSERT_TRUE(carry_out(engine_->begin_deletion("t")).ok());
  EXPECT_TRUE(rings()) << "whoever waits for a deleted topic has to hear of it";
}

TEST(ByteColumnTest, what_reaches_beyond_its_data_is_found) {
  const std::vector<uint8_t> data(10);
  const auto offsets = [&](std::vector<int32_t> ends) {
    return std::string(
        ByteColumn::of_offsets(ends.data(), false, data, 0, ends.size() - 1, nullptr).check() ==
                nullptr
            ? "good"
            : "bad");
  };
  EXPECT_EQ(offsets({0, 5, 10}), "good");
  EXPECT_EQ(offsets({0, 5, 11}), "bad");
  EXPECT_EQ(offsets({0, 5, 4}), "bad");
  EXPECT_EQ(offsets({-1, 5, 6}), "bad");
  const auto view = [&](int32_t length, int32_t buffer, int32_t offset) {
    record::BinaryView one;
    one.length = length;
    one.buffer = buffer;
    one.offset = offset;
    const std::vector<uint8_t> bytes(20);
    return ByteColumn::of_views(&one, {ByteView(bytes)}, 0, 1, nullptr).check() == nullptr;
  };
  EXPECT_TRUE(view(12, 99, 99)) << "it lies in the view";
  EXPECT_TRUE(view(20, 0, 0));
  EXPECT_FALSE(view(20, 0, 1));
  EXPECT_FALSE(view(20, 1, 0));
  EXPECT_FALSE(view(20, -1, 0));
  EXPECT_FALSE(view(20, 0, -1));
  EXPECT_FALSE(view(-1, 0, 0));
}

TEST(HeaderColumn, lists_that_reach_beyond_their_headers_are_refused) {
  const std::vector<uint8_t> data(10);
  const ByteColumn names = ByteColumn::of_fixed(data.data(), 5, 2, false);
  const ByteColumn values = ByteColumn::nulls(2);
  const auto lists = [&](std::vector<int32_t> ends) {
    HeaderColumn column;
    return column.push_lists(ends.data(), false, 0, ends.size() - 1, nullptr, names, values) ==
           nullptr;
  };
  EXPECT_TRUE(lists({0, 1, 2}));
  EXPECT_TRUE(lists({1, 1, 2}));
  EXPECT_FALSE(lists({0, 1, 3}));
  EXPECT_FALSE(lists({0, 2, 1}));
  EXPECT_FALSE(lists({-1, 1, 2}));
  HeaderColumn nameless;
  const std::array<int64_t, 2> one{0, 1};
  EXPECT_NE(nameless.push_lists(one.data(), true, 0, 1, nullptr, values, names), nullptr);
}

TEST_F(EmbeddedTest, memory_of_a_fetch_is_used_again_once_nobody_has_it) {
  create("t", 1);
  Producer producer(*engine_, {});
  auto topic = producer.topic("t");
  ASSERT_TRUE(topic.ok());
  const std::string value(5000, 'v');
  ASSERT_NE(producer.add(**topic, 0, record_of(value)).added, Lane::Added::kNo);
  producer.drain(**topic, 0);
  const auto fetch = [&] { return *fetch_columns(*engine_, *pool_, "t", 0, 0, {}); };
  auto first = fetch();
  auto second = fetch();
  const uint8_t* const memory = first->fetched.bytes.data();
  EXPECT_NE(second->fetched.bytes.data(), memory) << "the first is still there";
  first.reset();
  auto third = fetch();
  EXPECT_EQ(third->fetched.bytes.data(), memory);
  EXPECT_EQ(third->columns.offsets.size(), 1U);
}

}  // namespace
}  // namespace barnabas::embedded
