// Incremental fetch sessions (KIP-227): as a client sees them, and which of them the cache keeps.
#include "dataplane/fetch_session.h"

#include <gtest/gtest.h>

#include "dataplane/broker_fixture.h"

namespace barnabas::dataplane {
namespace {

class FetchSessionTest : public BrokerTest {
 protected:
  void SetUp() override {
    open();
    create("t", 3);
    start();
  }
  void append(int32_t partition = 0) {
    BrokerClient client(port_);
    EXPECT_EQ(client.produce_one(produce_of(storage::make_batch({}), partition)).error,
              ErrorCode::kNone);
  }
  static FetchSpec full(std::vector<FetchOne> parts, int16_t version = 12) {
    FetchSpec spec;
    spec.version = version;
    spec.session_epoch = 0;
    spec.parts = std::move(parts);
    for (auto& part : spec.parts) part.topic_id = id_of(1);
    return spec;
  }
  static FetchSpec incremental(int32_t session_id, int32_t epoch,
                               std::vector<FetchOne> changed = {}, int16_t version = 12) {
    FetchSpec spec = full(std::move(changed), version);
    spec.session_id = session_id;
    spec.session_epoch = epoch;
    return spec;
  }
};

TEST_F(FetchSessionTest, an_incremental_answer_holds_only_what_changed) {
  for (const int16_t version : {7, 12, 13, 18}) {
    const int64_t end = engine_->partition_info("t", 1)->high_watermark;
    BrokerClient client(port_);
    const auto first = client.fetch(full({{.partition = 0}, {.partition = 1, .offset = end}}));
    EXPECT_EQ(first.error, ErrorCode::kNone);
    EXPECT_NE(first.session_id, 0);
    EXPECT_EQ(first.parts.size(), 2U);  // a full answer holds everything

    const auto made =
        client.fetch(full({{.partition = 0}, {.partition = 1, .offset = end}}, version));
    const auto idle = client.fetch(incremental(made.session_id, 1, {}, version));
    EXPECT_EQ(idle.error, ErrorCode::kNone);
    EXPECT_EQ(idle.session_id, made.session_id);
    EXPECT_TRUE(idle.parts.empty());

    append(1);
    const auto news = client.fetch(incremental(made.session_id, 2, {}, version));
    ASSERT_EQ(news.parts.size(), 1U);
    EXPECT_EQ(news.parts[0].partition, 1);
    EXPECT_EQ(base_offsets(news.parts[0].records), std::vector<int64_t>{end});

    // The client goes on after what it got; its new offset is all it sends.
    const auto after = client.fetch(
        incremental(made.session_id, 3, {{.partition = 1, .offset = end + 1}}, version));
    EXPECT_TRUE(after.parts.empty());
  }
}

TEST_F(FetchSessionTest, a_waiting_incremental_fetch_is_woken_by_an_append) {
  BrokerClient client(port_);
  const auto made = client.fetch(full({{.partition = 0}, {.partition = 1}, {.partition = 2}}));
  FetchSpec spec = incremental(made.session_id, 1);
  spec.max_wait_ms = 20'000;
  client.send(spec);
  ASSERT_TRUE(parked(1));
  append(2);
  const auto answer = decode_fetch(client.receive(), spec.version);
  ASSERT_EQ(answer.parts.size(), 1U);
  EXPECT_EQ(answer.parts[0].partition, 2);
}

TEST_F(FetchSessionTest, an_unknown_id_and_a_wrong_epoch_are_refused) {
  BrokerClient client(port_);
  EXPECT_EQ(client.fetch(incremental(12345, 1)).error, ErrorCode::kFetchSessionIdNotFound);
  const auto made = client.fetch(full({{.partition = 0}}));
  EXPECT_EQ(client.fetch(incremental(made.session_id, 2)).error,
            ErrorCode::kInvalidFetchSessionEpoch);
  EXPECT_EQ(client.fetch(incremental(made.session_id, 1)).error, ErrorCode::kNone);
  EXPECT_EQ(client.fetch(incremental(made.session_id, 1)).error,
            ErrorCode::kInvalidFetchSessionEpoch);
  EXPECT_EQ(client.fetch(incremental(made.session_id, 2)).error, ErrorCode::kNone);
}

TEST_F(FetchSessionTest, a_session_keeps_to_names_or_to_ids) {
  BrokerClient client(port_);
  const auto named = client.fetch(full({{.partition = 0}}, 12));
  EXPECT_EQ(client.fetch(incremental(named.session_id, 1, {}, 13)).error,
            ErrorCode::kFetchSessionTopicIdError);
  const auto by_id = client.fetch(full({{.partition = 0}}, 13));
  EXPECT_EQ(client.fetch(incremental(by_id.session_id, 1, {}, 12)).error,
            ErrorCode::kFetchSessionTopicIdError);
}

TEST_F(FetchSessionTest, the_final_epoch_ends_a_session_and_epoch_0_replaces_it) {
  BrokerClient client(port_);
  const auto made = client.fetch(full({{.partition = 0}}));
  FetchSpec last = full({{.partition = 0}});
  last.session_id = made.session_id;
  last.session_epoch = -1;
  EXPECT_EQ(client.fetch(last).session_id, 0);
  EXPECT_EQ(client.fetch(incremental(made.session_id, 1)).error,
            ErrorCode::kFetchSessionIdNotFound);

  const auto again = client.fetch(full({{.partition = 0}}));
  FetchSpec anew = full({{.partition = 0}});
  anew.session_id = again.session_id;
  const auto replaced = client.fetch(anew);
  EXPECT_NE(replaced.session_id, again.session_id);
  EXPECT_EQ(stat("fetch_sessions"), 1);
}

TEST_F(FetchSessionTest, added_and_forgotten_partitions_change_what_is_answered) {
  BrokerClient client(port_);
  const auto made = client.fetch(full({{.partition = 0}}));
  append(1);
  const auto added = client.fetch(incremental(made.session_id, 1, {{.partition = 1}}));
  ASSERT_EQ(added.parts.size(), 1U);
  EXPECT_EQ(added.parts[0].partition, 1);
  FetchSpec forget = incremental(made.session_id, 2);
  forget.forgotten = {{.partition = 1}};
  EXPECT_TRUE(client.fetch(forget).parts.empty());
  append(0);
  append(1);
  const auto rest = client.fetch(incremental(made.session_id, 3));
  ASSERT_EQ(rest.parts.size(), 1U);
  EXPECT_EQ(rest.parts[0].partition, 0);
}

TEST_F(FetchSessionTest, forgetting_the_last_partition_ends_the_session) {
  BrokerClient client(port_);
  const auto made = client.fetch(full({{.partition = 0}}));
  FetchSpec forget = incremental(made.session_id, 1);
  forget.forgotten = {{.partition = 0}};
  const auto answer = client.fetch(forget);
  EXPECT_EQ(answer.error, ErrorCode::kNone);
  EXPECT_EQ(answer.session_id, 0);
  EXPECT_EQ(stat("fetch_sessions"), 0);
}

TEST_F(FetchSessionTest, a_waiting_fetch_survives_that_another_forgets_its_last_partition) {
  BrokerClient waiting(port_);
  const auto made = waiting.fetch(full({{.partition = 0}}));
  FetchSpec first = incremental(made.session_id, 1);
  first.max_wait_ms = 20'000;
  waiting.send(first);
  ASSERT_TRUE(parked(1));
  BrokerClient other(port_);
  FetchSpec forget = incremental(made.session_id, 2);
  forget.forgotten = {{.partition = 0}};
  EXPECT_EQ(other.fetch(forget).error, ErrorCode::kNone);
  append(0);
  const auto answer = decode_fetch(waiting.receive(), first.version);
  EXPECT_EQ(answer.error, ErrorCode::kInvalidFetchSessionEpoch);
  EXPECT_TRUE(answer.parts.empty());
}

TEST_F(FetchSessionTest, a_waiting_fetch_survives_that_its_session_is_ended) {
  BrokerClient waiting(port_);
  const auto made = waiting.fetch(full({{.partition = 0}}));
  FetchSpec first = incremental(made.session_id, 1);
  first.max_wait_ms = 20'000;
  waiting.send(first);
  ASSERT_TRUE(parked(1));
  BrokerClient other(port_);
  FetchSpec last = full({{.partition = 0}});
  last.session_id = made.session_id;
  last.session_epoch = -1;
  EXPECT_EQ(other.fetch(last).session_id, 0);
  append(0);
  const auto answer = decode_fetch(waiting.receive(), first.version);
  EXPECT_EQ(answer.error, ErrorCode::kNone);
  ASSERT_EQ(answer.parts.size(), 1U);
  EXPECT_FALSE(answer.parts[0].records.empty());
  EXPECT_EQ(waiting.fetch(incremental(made.session_id, 2)).error,
            ErrorCode::kFetchSessionIdNotFound);
}

TEST_F(FetchSessionTest, a_partition_forgotten_and_added_again_while_a_fetch_waits_is_a_new_one) {
  BrokerClient waiting(port_);
  const auto made = waiting.fetch(full({{.partition = 0}, {.partition = 1}}));
  FetchSpec first = incremental(made.session_id, 1);
  first.max_wait_ms = 20'000;
  waiting.send(first);
  ASSERT_TRUE(parked(1));
  BrokerClient other(port_);
  FetchSpec forget = incremental(made.session_id, 2);
  forget.forgotten = {{.partition = 0}};
  EXPECT_TRUE(other.fetch(forget).parts.empty());
  EXPECT_EQ(other.fetch(incremental(made.session_id, 3, {{.partition = 0}})).parts.size(), 1U);
  append(0);
  EXPECT_EQ(decode_fetch(waiting.receive(), first.version).error,
            ErrorCode::kInvalidFetchSessionEpoch);
  const auto news = other.fetch(incremental(made.session_id, 4));
  ASSERT_EQ(news.parts.size(), 1U);
  EXPECT_EQ(news.parts[0].partition, 0);
}

TEST_F(FetchSessionTest, an_error_is_told_in_every_answer_and_its_end_once) {
  BrokerClient client(port_);
  const auto made = client.fetch(full({{.partition = 0}, {.partition = 5}}));
  ASSERT_EQ(made.parts.size(), 2U);
  for (int32_t epoch = 1; epoch < 4; ++epoch) {
    const auto answer = client.fetch(incremental(made.session_id, epoch));
    ASSERT_EQ(answer.parts.size(), 1U);
    EXPECT_EQ(answer.parts[0].error, ErrorCode::kUnknownTopicOrPartition);
  }
  const std::vector<std::pair<int32_t, int32_t>> more{{3, 0}, {4, 0}, {5, 0}};
  ASSERT_TRUE(carry_out(engine_->begin_creation("t", id_of(1), more, {})).ok());
  const auto there = client.fetch(incremental(made.session_id, 4));
  ASSERT_EQ(there.parts.size(), 1U);
  EXPECT_EQ(there.parts[0].error, ErrorCode::kNone);
  EXPECT_TRUE(client.fetch(incremental(made.session_id, 5)).parts.empty());
}

TEST_F(FetchSessionTest, partitions_take_turns_when_the_response_is_full) {
  for (int32_t partition = 0; partition < 3; ++partition) {
    for (int i = 0; i < 3; ++i) append(partition);
  }
  BrokerClient client(port_);
  FetchSpec spec = full({{.partition = 0}, {.partition = 1}, {.partition = 2}});
  spec.max_bytes = 1;  // one batch an answer
  auto answer = client.fetch(spec);
  const int32_t session_id = answer.session_id;
  std::vector<int32_t> turns;
  // The first answer makes the session; from the next on the order is the session's.
  for (int32_t epoch = 1; epoch <= 6; ++epoch) {
    FetchSpec next = incremental(session_id, epoch);
    next.max_bytes = 1;
    answer = client.fetch(next);
    for (const auto& part : answer.parts) {
      if (!part.records.empty()) turns.push_back(part.partition);
    }
  }
  EXPECT_EQ(turns, (std::vector<int32_t>{0, 1, 2, 0, 1, 2}));
}

TEST_F(FetchSessionTest, a_topic_made_anew_under_the_old_name_is_inconsistent_with_the_session) {
  BrokerClient client(port_);
  const auto made = client.fetch(full({{.partition = 0}}, 13));
  ASSERT_TRUE(carry_out(engine_->begin_deletion("t")).ok());
  auto answer = client.fetch(incremental(made.session_id, 1, {}, 13));
  ASSERT_EQ(answer.parts.size(), 1U);
  EXPECT_EQ(answer.parts[0].error, ErrorCode::kUnknownTopicOrPartition);
  create("t", 1, {}, id_of(2));
  answer = client.fetch(incremental(made.session_id, 2, {}, 13));
  ASSERT_EQ(answer.parts.size(), 1U);
  EXPECT_EQ(answer.parts[0].error, ErrorCode::kInconsistentTopicId);
}

TEST_F(FetchSessionTest, without_a_free_slot_a_fetch_goes_on_without_a_session) {
  ASSERT_TRUE(engine_
                  ->set_broker_config({{"num.network.threads", int64_t{2}},
                                       {"max.incremental.fetch.session.cache.slots", int64_t{1}}})
                  .ok());
  BrokerClient client(port_);
  EXPECT_NE(client.fetch(full({{.partition = 0}})).session_id, 0);
  const auto second = client.fetch(full({{.partition = 0}}));
  EXPECT_EQ(second.error, ErrorCode::kNone);
  EXPECT_EQ(second.session_id, 0);
  EXPECT_EQ(second.parts.size(), 1U);
}

class FetchSessionCacheTest : public ::testing::Test {
 protected:
  static FetchSession::Partitions partitions(int count) {
    FetchSession::Partitions made;
    for (int i = 0; i < count; ++i) made.emplace_back().key = {{}, "t", i};
    return made;
  }
  int32_t create(int count) { return cache_.create(false, partitions(count)); }

  storage::ManualClock clock_;
  FetchSessionCache cache_{2, clock_};
};

TEST_F(FetchSessionCacheTest, a_young_session_in_use_is_not_evicted) {
  const int32_t a = create(1);
  const int32_t b = create(1);
  EXPECT_EQ(create(100), kNoSessionId);
  EXPECT_NE(cache_.find(a), nullptr);
  EXPECT_NE(cache_.find(b), nullptr);
}

TEST_F(FetchSessionCacheTest, a_session_that_nobody_uses_gives_up_its_slot) {
  const int32_t a = create(5);
  const int32_t b = create(5);
  clock_.advance_ms(FetchSessionCache::kMinEvictionMs);
  cache_.touch(*cache_.find(b), 5, 1);
  clock_.advance_ms(1);
  EXPECT_NE(create(1), kNoSessionId);
  EXPECT_EQ(cache_.find(a), nullptr);
  EXPECT_NE(cache_.find(b), nullptr);
}

TEST_F(FetchSessionCacheTest, a_larger_session_takes_the_slot_of_a_smaller_old_one) {
  const int32_t a = create(5);
  const int32_t b = create(9);
  clock_.advance_ms(FetchSessionCache::kMinEvictionMs + 1);
  cache_.touch(*cache_.find(a), 5, 1);
  cache_.touch(*cache_.find(b), 9, 1);
  EXPECT_EQ(create(4), kNoSessionId);
  EXPECT_NE(create(6), kNoSessionId);
  EXPECT_EQ(cache_.find(a), nullptr);
  EXPECT_NE(cache_.find(b), nullptr);
}

TEST_F(FetchSessionCacheTest, a_session_that_grows_beyond_the_memory_for_all_ends) {
  const int32_t a = create(5);
  const int32_t b = create(5);
  cache_.touch(*cache_.find(b), 5, 0);
  cache_.touch(*cache_.find(a), 5, FetchSessionCache::kMaxSessionBytes - 10);
  EXPECT_NE(cache_.find(a), nullptr);
  cache_.touch(*cache_.find(b), 5, 11);
  EXPECT_EQ(cache_.find(b), nullptr);
  EXPECT_EQ(create(5), kNoSessionId) << "the memory is taken by a session in use";
  cache_.remove(a);
  EXPECT_EQ(cache_.memory_bytes(), 0U);
  EXPECT_NE(create(5), kNoSessionId);
}

TEST_F(FetchSessionCacheTest, sessions_are_made_until_their_memory_is_used_up) {
  FetchSessionCache cache(1000, clock_);
  constexpr int kPartitions = 150'000;
  int made = 0;
  while (cache.create(false, partitions(kPartitions)) != kNoSessionId) ++made;
  EXPECT_GE(made, 2);
  EXPECT_LE(cache.memory_bytes(), FetchSessionCache::kMaxSessionBytes);
  clock_.advance_ms(FetchSessionCache::kMinEvictionMs + 1);
  EXPECT_NE(cache.create(false, partitions(kPartitions)), kNoSessionId) << "unused ones make room";
  EXPECT_LE(cache.memory_bytes(), FetchSessionCache::kMaxSessionBytes);
}

TEST(FetchSessionEpoch, never_comes_back_to_0) {
  EXPECT_EQ(next_session_epoch(0), 1);
  EXPECT_EQ(next_session_epoch(INT32_MAX), 1);
  EXPECT_EQ(next_session_epoch(-1), -1);
}

}  // namespace
}  // namespace barnabas::dataplane
