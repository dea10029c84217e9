// Requests as bytes, and answers to Produce.
#include "loadgen/frames.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "loadgen/answers.h"
#include "loadgen/produce_answer.h"

namespace barnabas::loadgen {
namespace {

using testing::Answer;
using testing::produce_answer;

/// What the outbox sends.
std::vector<uint8_t> sent(Outbox& outbox) {
  int fds[2];
  EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
  const UniqueFd ours(fds[0]);
  const UniqueFd theirs(fds[1]);
  EXPECT_TRUE(outbox.flush(ours.get()).ok());
  EXPECT_TRUE(outbox.empty());
  std::vector<uint8_t> bytes(1 << 17);
  const ssize_t got = ::recv(theirs.get(), bytes.data(), bytes.size(), 0);
  bytes.resize(static_cast<size_t>(got));
  return bytes;
}

Answer head(int16_t key, int16_t version, int32_t correlation_id) {
  const std::string client = "barnabas-bench";
  Answer head;
  head.put(key).put(version).put(correlation_id).put(static_cast<int16_t>(client.size()));
  return head.raw(as_bytes(client)).varint(0);
}

TEST(FramesTest, ProduceNamesOnePartition) {
  const ProduceFrame frame({"events", 7, 0, -1}, -1);
  for (const size_t size : {100, 5000}) {  // copied, and borrowed
    const std::vector<uint8_t> batch(size, 0xab);
    Outbox outbox;
    frame.append_to(outbox, 42, batch, true);
    Answer expected = head(0, 9, 42);
    expected.varint(0).put<int16_t>(-1).put<int32_t>(30'000).varint(2).text("events").varint(2);
    expected.put<int32_t>(7).varint(size + 1).raw(batch).varint(0).varint(0).varint(0);
    EXPECT_EQ(sent(outbox), expected.frame());
  }
}

TEST(FramesTest, ManyRequestsLeaveInOrder) {
  const ProduceFrame frame({"t", 0, 0, -1}, 1);
  const std::vector<uint8_t> small(10, 1);
  const std::vector<uint8_t> large(5000, 2);
  Outbox outbox;
  std::vector<uint8_t> expected;
  for (int32_t id = 0; id < 10; ++id) {
    Outbox alone;
    const auto& batch = id % 2 == 0 ? small : large;
    frame.append_to(alone, id, batch, true);
    frame.append_to(outbox, id, batch, true);
    const auto bytes = sent(alone);
    expected.insert(expected.end(), bytes.begin(), bytes.end());
  }
  EXPECT_EQ(outbox.appended_total(), expected.size());
  EXPECT_EQ(sent(outbox), expected);
  EXPECT_EQ(outbox.sent_total(), expected.size());
}

TEST(OutboxTest, KeepsLittleOfWhatIsSentThoughTheSocketIsNeverDrained) {
  int fds[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
  const UniqueFd ours(fds[0]);
  const UniqueFd theirs(fds[1]);
  const std::vector<uint8_t> borrowed(10'000, 0xee);
  Outbox outbox;
  std::vector<uint8_t> expected;
  std::vector<uint8_t> got;
  const auto receive = [&](size_t most) {
    const size_t before = got.size();
    got.resize(before + most);
    const ssize_t count = ::recv(theirs.get(), got.data() + before, most, 0);
    got.resize(before + static_cast<size_t>(std::max<ssize_t>(count, 0)));
  };
  for (uint32_t turn = 0; turn < 2000; ++turn) {
    while (outbox.appended_total() - outbox.sent_total() < 100'000) {
      std::vector<uint8_t> small(500 + expected.size() % 300, static_cast<uint8_t>(turn));
      outbox.append(small);
      outbox.append_borrowed(borrowed);
      expected.insert(expected.end(), small.begin(), small.end());
      expected.insert(expected.end(), borrowed.begin(), borrowed.end());
    }
    ASSERT_TRUE(outbox.flush(ours.get()).ok());
    ASSERT_LT(outbox.buffered_bytes(), 50'000U);
    receive(20'000);
  }
  while (!outbox.empty()) {
    receive(1 << 20);
    ASSERT_TRUE(outbox.flush(ours.get()).ok());
  }
  while (got.size() < expected.size()) receive(1 << 20);
  EXPECT_EQ(got, expected);
}

TEST(FramesTest, FetchNamesPartitionsByTopics) {
  Plan plan;
  plan.partitions = {{"a", 0, 0, -1}, {"a", 1, 0, -1}, {"b", 5, 0, -1}};
  plan.fetch_max_wait_ms = 250;
  plan.fetch_min_bytes = 2;
  const std::vector<int32_t> chosen{0, 1, 2};
  FetchFrame frame(plan, chosen);
  for (size_t i = 0; i < 3; ++i) frame.set_offset(i, 100 + static_cast<int64_t>(i));
  Outbox outbox;
  frame.append_to(outbox, 9);

  Answer expected = head(1, 12, 9);
  expected.put<int32_t>(-1).put<int32_t>(250).put<int32_t>(2).put<int32_t>(50 << 20);
  expected.put<int8_t>(0).put<int32_t>(0).put<int32_t>(-1).varint(3);
  const auto partition = [&](int32_t number, int64_t offset) {
    expected.put(number).put<int32_t>(-1).put(offset).put<int32_t>(-1).put<int64_t>(-1);
    expected.put<int32_t>(1 << 20).varint(0);
  };
  expected.text("a").varint(3);
  partition(0, 100);
  partition(1, 101);
  expected.varint(0).text("b").varint(2);
  partition(5, 102);
  expected.varint(0).varint(1).varint(1).varint(0);
  EXPECT_EQ(sent(outbox), expected.frame());
}

TEST(ProduceAnswerTest, HasACorrelationIdAndAnError) {
  const auto good = read_produce_answer(produce_answer(11).body());
  ASSERT_TRUE(good.ok());
  EXPECT_EQ(good->correlation_id, 11);
  EXPECT_EQ(good->error, 0);
  EXPECT_EQ(read_produce_answer(produce_answer(12, 6).body())->error, 6);
}

TEST(ProduceAnswerTest, WhatIsCutOffBeforeTheErrorIsRefused) {
  const auto whole = produce_answer(11).body();
  for (size_t size = 0; size < 19; ++size) {
    EXPECT_FALSE(read_produce_answer(ByteView(whole).first(size)).ok()) << size;
  }
  EXPECT_FALSE(read_produce_answer(Answer().put<int32_t>(1).put<int8_t>(0).varint(1).body()).ok());
}

}  // namespace
}  // namespace barnabas::loadgen
