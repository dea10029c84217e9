// Whole loads over sockets and threads, against a broker that only acknowledges.
#include "loadgen/generator.h"

#include <gtest/gtest.h>

#include <numeric>

#include "loadgen/fake_broker.h"

namespace barnabas::loadgen {
namespace {

using testing::FakeBroker;

Plan plan_for(const FakeBroker& broker, int connections) {
  Plan plan;
  plan.partitions = {{"bench", 0, 0, -1}, {"bench", 1, 0, -1}};
  for (int i = 0; i < connections; ++i) {
    plan.connections.push_back({"127.0.0.1", broker.port(), Role::kProduce, {0, 1}});
  }
  return plan;
}

std::unique_ptr<LoadGenerator> started(const Plan& plan) {
  auto generator = LoadGenerator::create(plan);
  EXPECT_TRUE(generator.ok());
  const Status status = (*generator)->start(1000);
  EXPECT_TRUE(status.ok()) << status.error().message;
  return std::move(generator).value();
}

int64_t samples_from(const Histogram& histogram, int64_t ns) {
  const auto first = histogram.counts().begin() + static_cast<ptrdiff_t>(Histogram::index_of(ns));
  return std::accumulate(first, histogram.counts().end(), int64_t{0});
}

TEST(GeneratorTest, SendsExactlyTheRecordsAskedForOverAllConnections) {
  FakeBroker broker;
  Plan plan = plan_for(broker, 3);
  plan.threads = 2;
  plan.in_flight = 4;
  plan.batch_records = 7;
  plan.records = 10'000;
  const auto generator = started(plan);
  while (!*generator->wait(1)) static_cast<void>(generator->counters());  // as progress does
  const Tally tally = generator->counters();
  EXPECT_EQ(tally.produced.all.records, 10'000);
  EXPECT_EQ(tally.produced.all.requests, broker.requests());
  EXPECT_EQ(samples_from(generator->take_latencies(), 0), 10'000);
  EXPECT_EQ(samples_from(generator->take_latencies(), 0), 0) << "they were taken";
  EXPECT_EQ(generator->usage().size(), 2U);
}

TEST(GeneratorTest, AnOpenLoopCountsAStallInEveryLatency) {
  FakeBroker broker;
  Plan plan = plan_for(broker, 2);
  plan.rate = 2000;
  plan.duration_ns = kNsPerSecond;
  const auto generator = started(plan);
  ASSERT_FALSE(*generator->wait(300));
  broker.stall(std::chrono::milliseconds(400));
  ASSERT_TRUE(*generator->wait(10'000));
  const Histogram latencies = generator->take_latencies();
  EXPECT_EQ(samples_from(latencies, 0), 2000);
  EXPECT_GT(samples_from(latencies, 200 * kNsPerMs), 300) << "half of 800 that were due meanwhile";
  EXPECT_GT(samples_from(latencies, 350 * kNsPerMs), 0);
}

TEST(GeneratorTest, StopEndsItEarlyAndWaitsForAnswers) {
  FakeBroker broker;
  Plan plan = plan_for(broker, 1);
  plan.duration_ns = 1000 * kNsPerSecond;
  const auto generator = started(plan);
  for (int looks = 0; broker.requests() == 0 && looks < 1000; ++looks) {
    ASSERT_FALSE(*generator->wait(10));
  }
  generator->stop();
  ASSERT_TRUE(*generator->wait(5000));
  EXPECT_GT(broker.requests(), 0);
  EXPECT_EQ(generator->counters().produced.all.requests, broker.requests());
}

TEST(GeneratorTest, ALostConnectionIsAnError) {
  FakeBroker broker;
  Plan plan = plan_for(broker, 2);
  plan.threads = 2;
  plan.duration_ns = 1000 * kNsPerSecond;
  const auto generator = started(plan);
  ASSERT_FALSE(*generator->wait(50));
  broker.hang_up();
  const auto over = generator->wait(5000);
  ASSERT_FALSE(over.ok());
  EXPECT_NE(over.error().message.find("connection"), std::string::npos) << over.error().message;
}

TEST(GeneratorTest, NobodyListeningIsAnErrorWithTheAddress) {
  uint16_t port = 0;
  {
    const FakeBroker gone;
    port = gone.port();
  }
  FakeBroker broker;
  Plan plan = plan_for(broker, 1);
  plan.connections[0].port = port;
  auto generator = LoadGenerator::create(plan);
  ASSERT_TRUE(generator.ok());
  const Status status = (*generator)->start(1000);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().message,
            "cannot connect to 127.0.0.1:" + std::to_string(port) + ": Connection refused");
}

TEST(GeneratorTest, APlanThatMakesNoSenseIsRefused) {
  FakeBroker broker;
  const Plan good = plan_for(broker, 1);
  ASSERT_TRUE(LoadGenerator::create(good).ok());
  Plan no_connections = good;
  no_connections.connections.clear();
  EXPECT_FALSE(LoadGenerator::create(no_connections).ok());
  Plan bad_index = good;
  bad_index.connections[0].partitions = {2};
  EXPECT_FALSE(LoadGenerator::create(bad_index).ok());
  Plan small_stamp = good;
  small_stamp.stamped = true;
  small_stamp.record_size = 15;
  EXPECT_FALSE(LoadGenerator::create(small_stamp).ok());
  Plan no_keys = good;
  no_keys.key_distribution = KeyDistribution::kZipf;
  EXPECT_FALSE(LoadGenerator::create(no_keys).ok());
}

}  // namespace
}  // namespace barnabas::loadgen
