// What a producer sends and counts, with time and answers made by the test.
#include "loadgen/producer.h"

#include <gtest/gtest.h>

#include <numeric>

#include "loadgen/answers.h"

namespace barnabas::loadgen {
namespace {

using testing::produce_answer;

constexpr int64_t kStartNs = 1000 * kNsPerSecond;

class ProducerTest : public ::testing::Test {
 protected:
  void make(double rate) {
    plan_.partitions = {{"bench", 0, 0, -1}};
    plan_.connections = {{"127.0.0.1", 1, Role::kProduce, {0}}};
    run_.plan = &plan_;
    run_.start_ns = kStartNs;
    run_.measure_ns = kStartNs + plan_.warm_up_ns;
    if (plan_.duration_ns > 0) run_.stop_ns = run_.measure_ns + plan_.duration_ns;
    run_.producers_left = 1;
    templates_ = std::move(BatchTemplates::build(plan_, 0)).value();
    ProducerShare share;
    share.rate = rate;
    share.quota = plan_.records > 0 ? plan_.records : kNever;
    producer_ =
        std::make_unique<Producer>(UniqueFd(), run_, plan_.connections[0], share, *templates_);
  }

  /// The requests that it sends at `at_ns` after the start.
  uint64_t pump(int64_t at_ns) {
    const uint64_t before = producer_->outbox().appended_total();
    EXPECT_TRUE(producer_->pump(kStartNs + at_ns, tally_).ok());
    return producer_->outbox().appended_total() - before;
  }
  bool answer(int64_t at_ns, int16_t error = 0) {
    const auto bytes = produce_answer(++answered_, error).frame();
    const auto used = producer_->on_bytes(bytes, kStartNs + at_ns, tally_);
    return used.ok() && *used == bytes.size();
  }
  [[nodiscard]] int64_t samples() const {
    const auto& counts = tally_.latencies.counts();
    return std::accumulate(counts.begin(), counts.end(), int64_t{0});
  }
  /// Samples of at least that.
  [[nodiscard]] int64_t samples_from(int64_t ns) const {
    const auto& counts = tally_.latencies.counts();
    const auto first = counts.begin() + static_cast<ptrdiff_t>(Histogram::index_of(ns));
    return std::accumulate(first, counts.end(), int64_t{0});
  }

  Plan plan_;
  loadgen::Run run_;
  std::unique_ptr<BatchTemplates> templates_;
  std::unique_ptr<Producer> producer_;
  Tally tally_;
  int32_t answered_ = 0;
};

TEST_F(ProducerTest, AClosedLoopKeepsRequestsInFlight) {
  plan_.in_flight = 3;
  plan_.batch_records = 10;
  plan_.duration_ns = kNsPerSecond;
  make(0);
  EXPECT_EQ(pump(-1), 0U) << "not before the start";
  EXPECT_EQ(producer_->wake_ns(), kStartNs);
  const uint64_t three = pump(0);
  EXPECT_GT(three, 0U);
  EXPECT_EQ(pump(0), 0U);
  ASSERT_TRUE(answer(5 * kNsPerMs));
  EXPECT_EQ(pump(5 * kNsPerMs) * 3, three);
  EXPECT_EQ(tally_.produced.measured.records, 10);
  EXPECT_EQ(samples(), 10);
  EXPECT_EQ(samples_from(5 * kNsPerMs), 10);
}

TEST_F(ProducerTest, AClosedLoopEndsWithItsTimeAndWaitsForAnswers) {
  plan_.in_flight = 2;
  plan_.duration_ns = kNsPerSecond;
  make(0);
  pump(0);
  ASSERT_TRUE(answer(kNsPerSecond));
  EXPECT_EQ(pump(kNsPerSecond), 0U);
  EXPECT_FALSE(producer_->is_done());
  ASSERT_TRUE(answer(2 * kNsPerSecond));
  pump(2 * kNsPerSecond);
  EXPECT_TRUE(producer_->is_done());
  EXPECT_EQ(run_.producers_left, 0);
}

TEST_F(ProducerTest, RecordsEndAClosedLoopExactly) {
  plan_.in_flight = 100;
  plan_.batch_records = 10;
  plan_.records = 25;
  make(0);
  pump(0);
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(answer(kNsPerMs));
  pump(kNsPerMs);
  EXPECT_TRUE(producer_->is_done());
  EXPECT_EQ(tally_.produced.all.requests, 3);
  EXPECT_EQ(tally_.produced.all.records, 25);
}

TEST_F(ProducerTest, WhatWasSentInTheWarmUpIsNotMeasured) {
  plan_.in_flight = 1;
  plan_.batch_records = 10;
  plan_.warm_up_ns = kNsPerSecond;
  plan_.duration_ns = kNsPerSecond;
  make(0);
  pump(0);
  ASSERT_TRUE(answer(1500 * kNsPerMs));  // answered after it, but sent before
  EXPECT_EQ(samples(), 0);
  EXPECT_EQ(tally_.produced.measured.requests, 0);
  EXPECT_EQ(tally_.produced.all.records, 10);
}

TEST_F(ProducerTest, AnOpenLoopSendsWhatIsDue) {
  plan_.duration_ns = kNsPerSecond;
  make(1000);
  const uint64_t one = pump(0);
  EXPECT_GT(one, 0U);
  EXPECT_EQ(pump(0), 0U);
  EXPECT_EQ(producer_->wake_ns(), kNever) << "one request in flight: the answer wakes it";
  EXPECT_EQ(pump(kNsPerMs), 0U);
  ASSERT_TRUE(answer(kNsPerMs));
  EXPECT_EQ(pump(kNsPerMs), one);
  ASSERT_TRUE(answer(kNsPerMs));
  EXPECT_EQ(pump(kNsPerMs), 0U);
  EXPECT_EQ(producer_->wake_ns(), kStartNs + 2 * kNsPerMs);
}

TEST_F(ProducerTest, LingerCollectsUntilTheFirstRecordHasWaitedLongEnough) {
  plan_.in_flight = 5;
  plan_.duration_ns = kNsPerSecond;
  plan_.linger_ns = 20 * kNsPerMs;
  make(1000);
  EXPECT_EQ(pump(0), 0U);
  EXPECT_EQ(producer_->wake_ns(), kStartNs + 20 * kNsPerMs);
  EXPECT_EQ(pump(19 * kNsPerMs), 0U);
  EXPECT_GT(pump(20 * kNsPerMs), 0U);
  ASSERT_TRUE(answer(21 * kNsPerMs));
  EXPECT_EQ(tally_.produced.measured.records, 21);
  EXPECT_EQ(samples_from(20 * kNsPerMs), 2) << "each from its own due time";
}

TEST_F(ProducerTest, AFullBatchDoesNotLinger) {
  plan_.in_flight = 5;
  plan_.batch_records = 4;
  plan_.duration_ns = kNsPerSecond;
  plan_.linger_ns = 500 * kNsPerMs;
  make(1000);
  EXPECT_EQ(pump(2 * kNsPerMs), 0U);
  EXPECT_EQ(producer_->wake_ns(), kStartNs + 3 * kNsPerMs);
  EXPECT_GT(pump(3 * kNsPerMs), 0U);
}

TEST_F(ProducerTest, AStalledBrokerIsChargedWithEveryRecordThatWasDueMeanwhile) {
  plan_.in_flight = 1;
  plan_.duration_ns = 3 * kNsPerSecond;
  make(1000);
  pump(0);
  for (int64_t at_ns = kNsPerMs; at_ns < kNsPerSecond; at_ns += kNsPerMs)
    EXPECT_EQ(pump(at_ns), 0U);
  ASSERT_TRUE(answer(kNsPerSecond));  // it comes back: all that was due goes out at once
  int64_t at_ns = kNsPerSecond;
  while (pump(at_ns) > 0) ASSERT_TRUE(answer(at_ns));
  EXPECT_EQ(samples(), 1001);
  EXPECT_NEAR(samples_from(kNsPerSecond / 2), 501, 1) << "half of them waited half of the stall";
  EXPECT_EQ(samples_from(kNsPerSecond - kNsPerMs), 2);
}

TEST_F(ProducerTest, WhatIsDueWhenTheTimeIsOverIsStillSent) {
  plan_.in_flight = 1;
  plan_.batch_records = 100;
  plan_.duration_ns = kNsPerSecond;
  make(1000);
  pump(0);
  int64_t at_ns = 2 * kNsPerSecond;
  do ASSERT_TRUE(answer(at_ns));
  while (pump(at_ns) > 0);
  EXPECT_TRUE(producer_->is_done());
  EXPECT_EQ(tally_.produced.measured.records, 1000);
  EXPECT_EQ(tally_.unsent_records, 0);
}

TEST_F(ProducerTest, WhatCannotBeSentLongAfterTheEndIsSaid) {
  plan_.in_flight = 1;
  plan_.duration_ns = kNsPerSecond;
  make(1000);
  pump(0);
  ASSERT_TRUE(answer(kNsPerSecond + kDrainNs));
  EXPECT_EQ(pump(kNsPerSecond + kDrainNs), 0U);
  EXPECT_TRUE(producer_->is_done());
  EXPECT_EQ(tally_.unsent_records, 999);
}

TEST_F(ProducerTest, ErrorsAreCountedByCodeAndHaveNoLatency) {
  plan_.in_flight = 2;
  plan_.duration_ns = kNsPerSecond;
  make(0);
  pump(0);
  ASSERT_TRUE(answer(kNsPerMs, 10));
  ASSERT_TRUE(answer(kNsPerMs, 10));
  EXPECT_EQ(tally_.errors, (std::map<int16_t, int64_t>{{10, 2}}));
  EXPECT_EQ(tally_.failed_requests, 2);
  EXPECT_EQ(tally_.produced.all.requests, 0);
  EXPECT_EQ(samples(), 0);
}

TEST_F(ProducerTest, AnAnswerToAnotherRequestIsAnError) {
  plan_.duration_ns = kNsPerSecond;
  make(0);
  pump(0);
  answered_ = 5;
  EXPECT_FALSE(answer(kNsPerMs));
}

}  // namespace
}  // namespace barnabas::loadgen
