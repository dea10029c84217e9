// Answers to Fetch, whole, in pieces of every size, and bad ones.
#include "loadgen/fetch_reader.h"

#include <gtest/gtest.h>

#include "loadgen/answers.h"
#include "record/builder.h"

namespace barnabas::loadgen {
namespace {

using testing::Answer;

std::vector<uint8_t> batch_of(int32_t records, int64_t base_offset) {
  record::BatchOptions options;
  options.base_offset = base_offset;
  record::BatchBuilder builder(options);
  for (int32_t i = 0; i < records; ++i) builder.append(5, std::nullopt, as_bytes("some value"));
  return *builder.build();
}

class Heard final : public FetchSink {
 public:
  void on_error(int16_t error) override { say("error " + std::to_string(error)); }
  Status on_partition(std::string_view topic, int32_t partition, int16_t error) override {
    say(std::string(topic) + "-" + std::to_string(partition) + ":" + std::to_string(error));
    return {};
  }
  Status on_batch(const record::BatchView& batch, bool is_corrupt) override {
    say((is_corrupt ? "corrupt " : "") + std::to_string(batch.record_count()) + "@" +
        std::to_string(batch.base_offset()));
    return {};
  }
  Status on_end(int32_t correlation_id) override {
    say("end " + std::to_string(correlation_id));
    return {};
  }
  std::string text;

 private:
  void say(const std::string& what) { text += (text.empty() ? "" : ", ") + what; }
};

void put_head(Answer& answer, int32_t correlation_id, size_t topics, int16_t error = 0) {
  answer.put(correlation_id).varint(0).put<int32_t>(0).put(error).put<int32_t>(0);
  answer.varint(topics + 1);
}

void put_partition(Answer& answer, int32_t partition, int16_t error, ByteView records) {
  answer.put(partition).put(error).put<int64_t>(9).put<int64_t>(9).put<int64_t>(0).varint(0);
  answer.put<int32_t>(-1).varint(records.size() + 1).raw(records);
}

/// Two topics, three partitions: two batches and the begin of a third; an error with a tagged
/// field; nothing.
std::vector<uint8_t> rich_answer() {
  std::vector<uint8_t> records = batch_of(3, 100);
  for (const auto& more : {batch_of(70, 103), batch_of(5, 173)}) {
    records.insert(records.end(), more.begin(), more.end());
  }
  records.resize(records.size() - 20);  // as at a byte limit
  Answer answer;
  put_head(answer, 77, 2);
  answer.text("first").varint(3);
  put_partition(answer, 0, 0, records);
  answer.varint(0);
  put_partition(answer, 4, 6, {});
  answer.varint(2).varint(1).varint(9).put<int64_t>(1).varint(0).varint(0).varint(0).varint(0);
  answer.text("second").varint(2);
  put_partition(answer, 1, 0, {});
  answer.varint(0).varint(0).varint(0);
  return answer.frame();
}

constexpr const char* kRich = "first-0:0, 3@100, 70@103, first-4:6, second-1:0, end 77";

/// Feeds in pieces as a worker does: what is not taken comes again.
Status feed(FetchReader& reader, ByteView bytes, size_t piece) {
  std::vector<uint8_t> carry;
  for (size_t at = 0; at < bytes.size(); at += piece) {
    const ByteView part = bytes.subspan(at, std::min(piece, bytes.size() - at));
    carry.insert(carry.end(), part.begin(), part.end());
    BARNABAS_ASSIGN(const size_t used, reader.feed(carry));
    carry.erase(carry.begin(), carry.begin() + static_cast<ptrdiff_t>(used));
  }
  return carry.empty() ? Status() : Error{ErrorCode::kUnknownServerError, "bytes left"};
}

TEST(FetchReaderTest, ReadsAnAnswerInPiecesOfAnySize) {
  const auto bytes = rich_answer();
  for (const bool collect : {false, true}) {
    for (size_t piece = 1; piece <= bytes.size(); ++piece) {
      Heard heard;
      FetchReader reader({.verify = true, .collect = collect}, heard);
      const Status status = feed(reader, bytes, piece);
      ASSERT_TRUE(status.ok()) << status.error().message << ", piece " << piece;
      ASSERT_EQ(heard.text, kRich) << piece;
    }
  }
}

TEST(FetchReaderTest, WhatMayBeDroppedUnseenIsNotMissed) {
  const auto bytes = rich_answer();
  for (size_t piece = 1; piece <= bytes.size(); ++piece) {
    Heard heard;
    FetchReader reader({}, heard);
    size_t dropped = 0;
    size_t have = 0;  // of what was received, but not taken
    for (size_t at = 0; at < bytes.size();) {
      const size_t droppable = have == 0 ? reader.droppable() : 0;
      const size_t count = std::min(piece, bytes.size() - at);
      if (droppable > 0) {
        ASSERT_TRUE(reader.drop(std::min(droppable, count)).ok());
        dropped += std::min(droppable, count);
        at += std::min(droppable, count);
        continue;
      }
      const auto used = reader.feed(ByteView(bytes).subspan(at - have, have + count));
      ASSERT_TRUE(used.ok()) << used.error().message << ", piece " << piece;
      at += count;
      have += count - *used;
    }
    ASSERT_EQ(heard.text, kRich) << piece;
    if (piece == 1) {
      ASSERT_GT(dropped, bytes.size() / 4);
    }
  }
}

TEST(FetchReaderTest, ReadsAnswersOneAfterTheOther) {
  auto bytes = rich_answer();
  const auto once = bytes;
  bytes.insert(bytes.end(), once.begin(), once.end());
  Heard heard;
  FetchReader reader({}, heard);
  ASSERT_TRUE(feed(reader, bytes, bytes.size()).ok());
  EXPECT_EQ(heard.text, std::string(kRich) + ", " + kRich);
}

TEST(FetchReaderTest, AnErrorOfTheWholeRequestIsHeard) {
  Answer answer;
  put_head(answer, 5, 0, 74);
  answer.varint(0);
  Heard heard;
  FetchReader reader({}, heard);
  ASSERT_TRUE(feed(reader, answer.frame(), 1000).ok());
  EXPECT_EQ(heard.text, "error 74, end 5");
}

TEST(FetchReaderTest, AFlippedBitIsFoundWhenAskedFor) {
  for (const bool verify : {false, true}) {
    auto records = batch_of(2, 0);
    records[70] ^= 1;
    Answer answer;
    put_head(answer, 1, 1);
    answer.text("t").varint(2);
    put_partition(answer, 0, 0, records);
    answer.varint(0).varint(0).varint(0);
    Heard heard;
    FetchReader reader({.verify = verify}, heard);
    ASSERT_TRUE(feed(reader, answer.frame(), 50).ok());
    EXPECT_EQ(heard.text, verify ? "t-0:0, corrupt 2@0, end 1" : "t-0:0, 2@0, end 1");
  }
}

TEST(FetchReaderTest, NoFlippedByteMakesItReadBeyondTheAnswer) {
  const auto good = rich_answer();
  for (size_t at = 0; at < good.size(); ++at) {
    for (const uint8_t bits : {0x01, 0x80, 0xff}) {
      auto bytes = good;
      bytes[at] ^= bits;
      Heard heard;
      FetchReader reader({.verify = true, .collect = true}, heard);
      const Status status = feed(reader, bytes, 37);  // an error or not: the sanitizers decide
      static_cast<void>(status);
    }
  }
}

TEST(FetchReaderTest, AnAnswerLongerThanItsFieldsIsRefused) {
  Answer answer;
  put_head(answer, 5, 0);
  answer.varint(0).put<int32_t>(0);
  Heard heard;
  FetchReader reader({}, heard);
  EXPECT_FALSE(feed(reader, answer.frame(), 1000).ok());
}

}  // namespace
}  // namespace barnabas::loadgen
