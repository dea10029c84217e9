// Fetch over a socket: what is found, what limits do, what waits and what wakes it.
#include <fcntl.h>
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>

#include "dataplane/broker_fixture.h"
#include "dataplane/purgatory.h"

namespace barnabas::dataplane {
namespace {

constexpr int32_t kLongWaitMs = 20'000;
constexpr int64_t kPromptMs = 5'000;  // far below the long wait, far above any hiccup

class FetchTest : public BrokerTest {
 protected:
  void SetUp() override {
    open();
    create("t", 3);
    start();
  }
  /// Appends `count` batches of one record; returns the bytes of one.
  size_t fill(int count, int32_t partition = 0, size_t value_bytes = 10,
              const std::string& topic = "t") {
    BrokerClient client(port_);
    const Bytes batch = storage::make_batch({.value_bytes = value_bytes});
    for (int i = 0; i < count; ++i) {
      EXPECT_EQ(client.produce_one(produce_of(batch, partition, topic)).error, ErrorCode::kNone);
    }
    return batch.size();
  }
};

TEST_F(FetchTest, every_version_is_answered_in_its_own_layout) {
  const size_t batch_bytes = fill(2);
  BrokerClient client(port_);
  for (int16_t version = 4; version <= 18; ++version) {
    FetchSpec spec;
    spec.version = version;
    spec.parts[0].topic_id = id_of(1);
    const auto part = client.fetch_one(spec);
    EXPECT_EQ(part.error, ErrorCode::kNone) << version;
    EXPECT_EQ(part.high_watermark, 2);
    EXPECT_EQ(part.last_stable_offset, 2);
    EXPECT_EQ(part.log_start_offset, 0);
    EXPECT_EQ(part.records.size(), 2 * batch_bytes);
    EXPECT_EQ(base_offsets(part.records), (std::vector<int64_t>{0, 1}));
    EXPECT_TRUE(part.aborted_is_null);
    if (version >= 13) {
      EXPECT_EQ(part.topic_id, id_of(1));
    } else {
      EXPECT_EQ(part.topic, "t");
    }
  }
}

TEST_F(FetchTest, read_committed_lists_aborted_transactions) {
  fill(1);
  BrokerClient client(port_);
  FetchSpec spec;
  spec.isolation = 1;
  const auto part = client.fetch_one(spec);
  EXPECT_FALSE(part.aborted_is_null);
  EXPECT_EQ(base_offsets(part.records), std::vector<int64_t>{0});
}

TEST_F(FetchTest, offsets_outside_the_log_are_out_of_range_and_its_end_is_empty) {
  fill(2);
  BrokerClient client(port_);
  EXPECT_EQ(client.fetch_one(fetch_of(3)).error, ErrorCode::kOffsetOutOfRange);
  EXPECT_EQ(client.fetch_one(fetch_of(-1)).error, ErrorCode::kOffsetOutOfRange);
  const auto end = client.fetch_one(fetch_of(2));
  EXPECT_EQ(end.error, ErrorCode::kNone);
  EXPECT_TRUE(end.records.empty());
}

TEST_F(FetchTest, unknown_topics_partitions_and_ids_each_have_their_error) {
  BrokerClient client(port_);
  EXPECT_EQ(client.fetch_one(fetch_of(0, 0, "absent")).error, ErrorCode::kUnknownTopicOrPartition);
  EXPECT_EQ(client.fetch_one(fetch_of(0, 7)).error, ErrorCode::kUnknownTopicOrPartition);
  FetchSpec spec;
  spec.version = 13;
  EXPECT_EQ(client.fetch_one(spec).error, ErrorCode::kUnknownTopicId);  // the zero id
  spec.parts[0].topic_id = id_of(9);
  EXPECT_EQ(client.fetch_one(spec).error, ErrorCode::kUnknownTopicId);
  spec.parts[0].topic_id = id_of(1);
  spec.parts[0].partition = 7;
  EXPECT_EQ(client.fetch_one(spec).error, ErrorCode::kUnknownTopicOrPartition);
}

TEST_F(FetchTest, the_leader_epoch_is_checked) {
  const std::pair<int32_t, int32_t> partition{0, 4};
  ASSERT_TRUE(carry_out(engine_->begin_creation("led", id_of(2), {&partition, 1}, {})).ok());
  BrokerClient client(port_);
  FetchSpec spec = fetch_of(0, 0, "led");
  spec.parts[0].current_leader_epoch = 4;
  EXPECT_EQ(client.fetch_one(spec).error, ErrorCode::kNone);
  spec.parts[0].current_leader_epoch = 5;
  EXPECT_EQ(client.fetch_one(spec).error, ErrorCode::kUnknownLeaderEpoch);
  spec.parts[0].current_leader_epoch = 3;
  EXPECT_EQ(client.fetch_one(spec).error, ErrorCode::kFencedLeaderEpoch);
  spec.version = 16;
  spec.parts[0].topic_id = id_of(2);
  const auto fenced = client.fetch_one(spec);
  EXPECT_EQ(fenced.error, ErrorCode::kFencedLeaderEpoch);
  EXPECT_EQ(fenced.leader_id, 1);
  EXPECT_EQ(fenced.leader_epoch, 4);
}

TEST_F(FetchTest, a_diverging_epoch_is_told_instead_of_records) {
  const std::pair<int32_t, int32_t> partition{0, 4};
  ASSERT_TRUE(carry_out(engine_->begin_creation("led", id_of(2), {&partition, 1}, {})).ok());
  fill(3, 0, 10, "led");
  BrokerClient client(port_);
  FetchSpec spec = fetch_of(2, 0, "led");
  spec.max_wait_ms = kLongWaitMs;
  spec.parts[0].last_fetched_epoch = 4;
  EXPECT_EQ(base_offsets(client.fetch_one(spec).records), std::vector<int64_t>{2});
  spec.parts[0].last_fetched_epoch = 3;  // ended where 4 began
  const auto diverging = client.fetch_one(spec);
  EXPECT_EQ(diverging.error, ErrorCode::kNone);
  EXPECT_EQ(diverging.diverging_epoch, 3);
  EXPECT_EQ(diverging.diverging_end_offset, 0);
  EXPECT_TRUE(diverging.records.empty());
  spec.parts[0].offset = 100;  // ahead of this log, which says where they parted
  EXPECT_EQ(client.fetch_one(spec).diverging_end_offset, 0);
  spec.parts[0].last_fetched_epoch = 9;  // never heard of
  EXPECT_EQ(client.fetch_one(spec).error, ErrorCode::kOffsetOutOfRange);
}

TEST_F(FetchTest, followers_nobody_knows_are_refused) {
  BrokerClient client(port_);
  FetchSpec spec;
  spec.replica_id = 2;
  EXPECT_EQ(client.fetch_one(spec).error, ErrorCode::kNotLeaderOrFollower);
  spec.parts[0].current_leader_epoch = 0;
  EXPECT_EQ(client.fetch_one(spec).error, ErrorCode::kUnknownLeaderEpoch);
  spec.version = 15;
  spec.parts[0].topic_id = id_of(1);
  EXPECT_EQ(client.fetch_one(spec).error, ErrorCode::kUnknownLeaderEpoch);
}

TEST_F(FetchTest, a_zstd_topic_needs_version_10) {
  create("packed", 1, {{"compression.type", std::string("zstd")}}, id_of(2));
  fill(1, 0, 10, "packed");
  BrokerClient client(port_);
  FetchSpec spec = fetch_of(0, 0, "packed");
  spec.version = 9;
  EXPECT_EQ(client.fetch_one(spec).error, ErrorCode::kUnsupportedCompressionType);
  spec.version = 10;
  EXPECT_EQ(client.fetch_one(spec).error, ErrorCode::kNone);
}

TEST_F(FetchTest, the_first_batch_is_whole_even_when_larger_than_every_limit) {
  const size_t batch_bytes = fill(2, 0, 5000);
  BrokerClient client(port_);
  FetchSpec spec;
  spec.max_bytes = 100;
  spec.parts[0].max_bytes = 10;
  EXPECT_EQ(client.fetch_one(spec).records.size(), batch_bytes);
  spec.max_bytes = 0;
  EXPECT_EQ(client.fetch_one(spec).records.size(), batch_bytes);
}

TEST_F(FetchTest, only_the_first_partition_with_data_may_exceed_the_limits) {
  const size_t batch_bytes = fill(1, 0, 5000);
  fill(1, 1, 5000);
  BrokerClient client(port_);
  FetchSpec spec;
  spec.max_bytes = 100;
  spec.parts = {{.partition = 2}, {.partition = 0}, {.partition = 1}};
  const auto answer = client.fetch(spec);
  ASSERT_EQ(answer.parts.size(), 3U);
  EXPECT_EQ(answer.parts[0].records.size(), 0U);
  EXPECT_EQ(answer.parts[1].records.size(), batch_bytes);
  EXPECT_EQ(answer.parts[2].records.size(), 0U);
  EXPECT_EQ(answer.parts[2].high_watermark, 1);
}

TEST_F(FetchTest, partition_and_response_limits_hold) {
  const size_t batch_bytes = fill(10);
  fill(10, 1);
  BrokerClient client(port_);
  FetchSpec spec;
  spec.parts = {{.partition = 0}, {.partition = 1}};
  spec.parts[0].max_bytes = static_cast<int32_t>(3 * batch_bytes);
  spec.max_bytes = static_cast<int32_t>(5 * batch_bytes);
  const auto answer = client.fetch(spec);
  ASSERT_EQ(answer.parts.size(), 2U);
  EXPECT_EQ(base_offsets(answer.parts[0].records).size(), 3U);
  EXPECT_EQ(base_offsets(answer.parts[1].records).size(), 2U);
}

TEST_F(FetchTest, fetch_max_bytes_of_the_broker_caps_the_request) {
  const size_t batch_bytes = fill(10);
  ASSERT_TRUE(engine_
                  ->set_broker_config({{"num.network.threads", int64_t{2}},
                                       {"fetch.max.bytes", static_cast<int64_t>(batch_bytes * 4)}})
                  .ok());
  BrokerClient client(port_);
  EXPECT_EQ(base_offsets(client.fetch_one({}).records).size(), 4U);
}

TEST_F(FetchTest, a_partition_named_twice_counts_once) {
  fill(3);
  BrokerClient client(port_);
  FetchSpec spec;
  spec.parts = {{.offset = 0}, {.offset = 2}};
  const auto part = client.fetch_one(spec);
  EXPECT_EQ(base_offsets(part.records), std::vector<int64_t>{2});
}

TEST_F(FetchTest, an_empty_fetch_waits_as_long_as_it_may) {
  BrokerClient client(port_);
  FetchSpec spec;
  spec.max_wait_ms = 150;
  const int64_t before_ms = now_ms();
  EXPECT_TRUE(client.fetch_one(spec).records.empty());
  EXPECT_GE(now_ms() - before_ms, 150);
  EXPECT_EQ(stat("requests_parked"), 0);
}

TEST_F(FetchTest, an_append_wakes_a_waiting_fetch_of_any_reactor) {
  // Connections go round the reactors, so that both kinds of wake-up happen.
  for (int round = 0; round < 6; ++round) {
    BrokerClient consumer(port_);
    FetchSpec spec = fetch_of(round);
    spec.max_wait_ms = kLongWaitMs;
    consumer.send(spec);
    ASSERT_TRUE(parked(1));
    const int64_t before_ms = now_ms();
    fill(1);
    if (round % 2 == 0) BrokerClient shifts_the_round_robin(port_);
    const auto answer = decode_fetch(consumer.receive(), spec.version);
    EXPECT_LT(now_ms() - before_ms, kPromptMs);
    ASSERT_EQ(answer.parts.size(), 1U);
    EXPECT_EQ(base_offsets(answer.parts[0].records), std::vector<int64_t>{round});
  }
  EXPECT_EQ(stat("requests_parked"), 0);
}

TEST_F(FetchTest, min_bytes_is_gathered_over_partitions_before_the_answer) {
  const size_t batch_bytes = fill(1, 2);
  BrokerClient consumer(port_);
  FetchSpec spec;
  spec.parts = {{.partition = 0}, {.partition = 1}, {.partition = 2, .offset = 1}};
  spec.min_bytes = static_cast<int32_t>(3 * batch_bytes);
  spec.max_wait_ms = kLongWaitMs;
  consumer.send(spec);
  ASSERT_TRUE(parked(1));
  fill(1, 0);
  fill(1, 1);
  EXPECT_EQ(stat("requests_parked"), 1);
  const int64_t before_ms = now_ms();
  fill(1, 2);
  const auto answer = decode_fetch(consumer.receive(), spec.version);
  EXPECT_LT(now_ms() - before_ms, kPromptMs);
  size_t bytes = 0;
  for (const auto& part : answer.parts) bytes += part.records.size();
  EXPECT_EQ(bytes, 3 * batch_bytes);
}

TEST_F(FetchTest, too_few_bytes_are_answered_when_time_is_up) {
  const size_t batch_bytes = fill(1);
  BrokerClient client(port_);
  FetchSpec spec;
  spec.min_bytes = 100'000;
  spec.max_wait_ms = 100;
  const int64_t before_ms = now_ms();
  EXPECT_EQ(client.fetch_one(spec).records.size(), batch_bytes);
  EXPECT_GE(now_ms() - before_ms, 100);
}

TEST_F(FetchTest, an_error_is_answered_without_waiting) {
  BrokerClient client(port_);
  FetchSpec spec = fetch_of(5);
  spec.max_wait_ms = kLongWaitMs;
  const int64_t before_ms = now_ms();
  EXPECT_EQ(client.fetch_one(spec).error, ErrorCode::kOffsetOutOfRange);
  EXPECT_LT(now_ms() - before_ms, kPromptMs);
}

TEST_F(FetchTest, deleting_the_topic_answers_who_waits_for_it) {
  BrokerClient client(port_);
  FetchSpec spec;
  spec.max_wait_ms = kLongWaitMs;
  client.send(spec);
  ASSERT_TRUE(parked(1));
  ASSERT_TRUE(carry_out(engine_->begin_deletion("t")).ok());
  const auto answer = decode_fetch(client.receive(), spec.version);
  ASSERT_EQ(answer.parts.size(), 1U);
  EXPECT_EQ(answer.parts[0].error, ErrorCode::kUnknownTopicOrPartition);
  EXPECT_EQ(client.fetch_one({}).error, ErrorCode::kUnknownTopicOrPartition);
}

TEST_F(FetchTest, stopping_answers_who_waits) {
  BrokerClient client(port_);
  FetchSpec spec;
  spec.max_wait_ms = kLongWaitMs;
  client.send(spec);
  ASSERT_TRUE(parked(1));
  const int64_t before_ms = now_ms();
  ASSERT_TRUE(engine_->stop(5'000).ok());
  EXPECT_LT(now_ms() - before_ms, kPromptMs);
  EXPECT_EQ(decode_fetch(client.receive(), spec.version).parts.size(), 1U);
}

TEST_F(FetchTest, what_waited_for_a_client_that_left_goes_with_its_connection) {
  FetchSpec spec;
  spec.max_wait_ms = INT32_MAX;
  // As many as a connection is read for: nothing is read when the client goes.
  for (const int64_t waiting : {1, 100, 128}) {
    {
      BrokerClient client(port_);
      for (int64_t i = 0; i < waiting; ++i) client.send(spec);
      ASSERT_TRUE(parked(waiting));
    }
    EXPECT_TRUE(parked(0));
    EXPECT_TRUE(eventually([&] { return stat("connections") == 0; }));
    EXPECT_EQ(stat("requests_parked_bytes"), 0);
  }
}

TEST_F(FetchTest, fetches_beyond_the_memory_for_those_that_wait_are_answered_at_once) {
  FetchSpec spec;
  spec.max_wait_ms = INT32_MAX;
  spec.parts.resize(190'000, FetchOne{.topic = "x"});
  for (size_t i = 0; i < spec.parts.size(); ++i) {
    spec.parts[i].partition = static_cast<int32_t>(i);
  }
  spec.parts[0] = FetchOne{};
  const Bytes frame = frame_of(kFetch, spec.version, 1, encode(spec));
  constexpr int kRequests = 20;
  std::vector<std::unique_ptr<BrokerClient>> clients;
  for (int i = 0; i < kRequests; ++i) {
    clients.push_back(std::make_unique<BrokerClient>(port_));
    ASSERT_TRUE(clients.back()->socket().send(frame));
  }
  EXPECT_TRUE(eventually([&] { return stat("requests_total") == kRequests; }));
  EXPECT_LT(stat("requests_parked"), kRequests);
  EXPECT_LE(stat("requests_parked_bytes"), static_cast<int64_t>(Purgatory::kMaxParkedBytes));
}

TEST_F(FetchTest, requests_behind_a_waiting_fetch_are_answered_after_it) {
  BrokerClient client(port_);
  FetchSpec waiting;
  waiting.max_wait_ms = 100;
  client.send(waiting);
  client.send(ProduceSpec{.parts = {{.partition = 1}}});
  EXPECT_TRUE(decode_fetch(client.receive(), waiting.version).parts[0].records.empty());
  EXPECT_EQ(decode_produce(client.receive(), 9)[0].base_offset, 0);
}

TEST_F(FetchTest, a_log_of_many_segments_is_read_from_its_start_to_its_end) {
  create("old", 1, {{"internal.segment.bytes", int64_t{2000}}}, id_of(2));
  constexpr int kBatches = 200;
  fill(kBatches, 0, 100, "old");
  ASSERT_GT(engine_->partition_info("old", 0)->segment_count, 5U);
  BrokerClient client(port_);
  std::vector<int64_t> seen;
  while (seen.size() < kBatches) {
    FetchSpec spec = fetch_of(static_cast<int64_t>(seen.size()), 0, "old");
    spec.max_wait_ms = kLongWaitMs;
    spec.min_bytes = 1'000'000;  // data of an old segment is not held back for more
    if (static_cast<int64_t>(seen.size()) > kBatches - 20) spec.min_bytes = 1;
    const auto offsets = base_offsets(client.fetch_one(spec).records);
    ASSERT_FALSE(offsets.empty());
    seen.insert(seen.end(), offsets.begin(), offsets.end());
  }
  for (int i = 0; i < kBatches; ++i) EXPECT_EQ(seen[static_cast<size_t>(i)], i);
}

TEST_F(FetchTest, what_an_earlier_run_wrote_is_read_on_disk_threads_and_the_tail_is_not) {
  constexpr int kBatches = 100;
  fill(kBatches, 0, 50'000);
  ASSERT_TRUE(engine_->stop(0).ok());
  engine_.reset();
  for (const auto& file : std::filesystem::directory_iterator(directory_.path() + "/data/t-0")) {
    const auto fd = open_file(file.path().string(), O_RDONLY);
    ASSERT_TRUE(fd.ok());
    ::posix_fadvise(fd->get(), 0, 0, POSIX_FADV_DONTNEED);
  }
  open();
  const PartitionSpec spec{"t", id_of(1), 0, 0};
  ASSERT_TRUE(engine_->load_partitions({&spec, 1}, {}).ok());
  start();
  fill(1);
  BrokerClient client(port_);
  EXPECT_EQ(base_offsets(client.fetch_one(fetch_of(kBatches)).records).size(), 1U);
  EXPECT_EQ(client.fetch_one(fetch_of(kBatches + 1)).error, ErrorCode::kNone);
  EXPECT_EQ(stat("disk_reads"), 0);
  for (int64_t next = 0; next < kBatches;) {
    FetchSpec fetch = fetch_of(next);
    fetch.max_wait_ms = kLongWaitMs;
    const auto offsets = base_offsets(client.fetch_one(fetch).records);
    ASSERT_FALSE(offsets.empty());
    for (const int64_t offset : offsets) ASSERT_EQ(offset, next++);
  }
  EXPECT_GT(stat("disk_reads"), 0);
}

TEST_F(FetchTest, many_consumers_and_producers_see_every_record_once) {
  constexpr int kBatches = 300;
  std::vector<std::thread> threads;
  std::atomic<int> complete{0};
  for (int32_t partition = 0; partition < 3; ++partition) {
    threads.emplace_back([this, partition] { fill(kBatches, partition, 50); });
    for (int consumer = 0; consumer < 2; ++consumer) {
      threads.emplace_back([this, partition, &complete] {
        BrokerClient client(port_);
        int64_t next = 0;
        while (next < kBatches) {
          FetchSpec spec = fetch_of(next, partition);
          spec.max_wait_ms = kLongWaitMs;
          for (const int64_t offset : base_offsets(client.fetch_one(spec).records)) {
            if (offset != next) return;
            ++next;
          }
        }
        ++complete;
      });
    }
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(complete, 6);
}

TEST_F(FetchTest, an_ill_formed_request_closes_the_connection) {
  FetchSpec spec;
  spec.forgotten = {FetchOne{}};
  const Bytes good = encode(spec);
  for (size_t length = 0; length < good.size(); length += 3) {
    BrokerClient client(port_);
    const Bytes cut(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(length));
    ASSERT_TRUE(client.socket().send(frame_of(kFetch, spec.version, 1, cut)));
    EXPECT_TRUE(client.socket().closed_by_server()) << "cut at " << length;
  }
}

TEST_F(FetchTest, versions_outside_4_to_18_close_the_connection) {
  for (const int16_t version : {0, 3, 19}) {
    BrokerClient client(port_);
    ASSERT_TRUE(client.socket().send(frame_of(kFetch, version, 1, encode(FetchSpec{}))));
    EXPECT_TRUE(client.socket().closed_by_server());
  }
}

}  // namespace
}  // namespace barnabas::dataplane
