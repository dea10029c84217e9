#include "embedded/outcome.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

namespace barnabas::embedded {
namespace {

// A flush that finds a batch done waits for what is given: its callbacks must be among that.
TEST(OutcomeTest, WhoSeesItDoneFindsItsCallbacksHandedOver) {
  constexpr uint64_t kRounds = 20'000;
  const auto teller = Teller::create();
  std::vector<std::shared_ptr<Outcome>> outcomes;
  for (uint64_t round = 0; round < kRounds; ++round) {
    outcomes.push_back(std::make_shared<Outcome>(teller));
    outcomes.back()->when_done([] {});
  }
  std::atomic<uint64_t> begun = 0;
  std::thread finisher([&] {
    for (uint64_t round = 0; round < kRounds; ++round) {
      while (begun.load() <= round) std::this_thread::yield();
      outcomes[round]->set_produced(dataplane::Produced{});
      outcomes[round]->set_durable(ErrorCode::kNone);
    }
  });
  uint64_t late = 0;
  for (uint64_t round = 0; round < kRounds; ++round) {
    begun.store(round + 1);
    while (!outcomes[round]->done()) std::this_thread::yield();
    if (teller->given() <= round) ++late;
  }
  finisher.join();
  EXPECT_EQ(late, 0U);
  EXPECT_TRUE(teller->wait(kRounds, 20'000'000'000));
}

TEST(OutcomeTest, ACallbackFindsItDone) {
  const auto teller = Teller::create();
  const auto outcome = std::make_shared<Outcome>(teller);
  std::atomic<bool> was_done = false;
  outcome->when_done([&] { was_done = outcome->done(); });
  outcome->set_durable(ErrorCode::kNone);
  outcome->set_produced(dataplane::Produced{});
  EXPECT_TRUE(teller->wait(1, 20'000'000'000));
  EXPECT_TRUE(was_done);
}

}  // namespace
}  // namespace barnabas::embedded
