#include "dataplane/control_queue.h"

#include <gtest/gtest.h>

#include <vector>

namespace barnabas::dataplane {
namespace {

using net::Admission;

class ControlQueueTest : public ::testing::Test {
 protected:
  ControlQueueTest() { EXPECT_TRUE(queue.open().ok()); }

  Admission offer(size_t body_bytes) {
    body.resize(body_bytes);
    net::Request request;
    request.body = body;
    return queue.offer(request);
  }

  static constexpr size_t kMaxQueued = 3;
  static constexpr size_t kMaxQueuedBytes = 1000;
  ControlQueue queue{kMaxQueued, kMaxQueuedBytes};
  std::vector<uint8_t> body;
};

TEST_F(ControlQueueTest, RequestsBeyondTheCountAreBusyUntilSomeAreTaken) {
  for (size_t i = 0; i < kMaxQueued; ++i) EXPECT_EQ(offer(1), Admission::kTakenAlone);
  EXPECT_EQ(offer(1), Admission::kBusy);
  const auto taken = queue.take(1);
  EXPECT_EQ(taken.requests.size(), 1U);
  EXPECT_TRUE(taken.resume);
  EXPECT_FALSE(queue.take(1).resume) << "nobody was told kBusy since";
  EXPECT_EQ(offer(1), Admission::kTakenAlone);
}

TEST_F(ControlQueueTest, RequestsBeyondTheBytesAreBusyUntilSomeAreTaken) {
  EXPECT_EQ(offer(kMaxQueuedBytes - 10), Admission::kTakenAlone);
  EXPECT_EQ(offer(11), Admission::kBusy);
  EXPECT_EQ(offer(10), Admission::kTakenAlone);
  EXPECT_TRUE(queue.take(2).resume);
  EXPECT_EQ(offer(11), Admission::kTakenAlone);
}

TEST_F(ControlQueueTest, ARequestLargerThanTheLimitPassesAlone) {
  EXPECT_EQ(offer(kMaxQueuedBytes + 1), Admission::kTakenAlone);
  EXPECT_EQ(offer(1), Admission::kBusy);
  EXPECT_TRUE(queue.take(1).resume);
  EXPECT_EQ(offer(1), Admission::kTakenAlone);
}

TEST_F(ControlQueueTest, OwnRequestsHaveTheSameLimitsAndAReplyOfTheirOwn) {
  std::vector<uint8_t> answered;
  const auto offer_own = [&] {
    return queue.offer_own({.api_key = 24},
                           [&](const auto& payload) { answered = payload.value(); });
  };
  for (size_t i = 0; i < kMaxQueued; ++i) EXPECT_EQ(offer_own(), Admission::kTakenAlone);
  EXPECT_EQ(offer_own(), Admission::kBusy);
  const auto taken = queue.take(10);
  EXPECT_TRUE(taken.resume);
  ASSERT_EQ(taken.requests.size(), kMaxQueued);
  const auto asker = queue.redeem(taken.requests[0].token);
  ASSERT_TRUE(asker.has_value());
  asker->reply(std::vector<uint8_t>{1, 2});
  EXPECT_EQ(answered, (std::vector<uint8_t>{1, 2}));
  EXPECT_FALSE(queue.redeem(taken.requests[0].token).has_value());
  EXPECT_EQ(offer(1), Admission::kTakenAlone);
  EXPECT_EQ(queue.stop().size(), 1U) << "only the client's has a connection to be closed";
  EXPECT_EQ(offer_own(), Admission::kReject);
}

}  // namespace
}  // namespace barnabas::dataplane
