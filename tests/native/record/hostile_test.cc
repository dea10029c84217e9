// Batches that mean harm: bombs, records larger than any window, and random damage under a CRC that
// is right.
#include <gtest/gtest.h>

#include <fstream>
#include <random>
#include <string>

#include "batches.h"
#include "record/columns.h"
#include "record/record.h"
#include "record/validate.h"

namespace barnabas::record {
namespace {

Bytes records_with_value(size_t value_size, int count) {
  BatchBuilder builder({});
  const std::string value(value_size, '\0');
  for (int i = 0; i < count; ++i) builder.append(kNow, as_bytes("k"), as_bytes(value));
  const Bytes batch = *builder.build();
  return {batch.begin() + kBatchHeaderSize, batch.end()};
}

ErrorCode verdict(Bytes batch, const ValidationPolicy& policy = {}) {
  auto result = validate_batch(batch, policy, kNow);
  if (auto* failure = std::get_if<ValidationFailure>(&result)) return failure->error.code;
  return ErrorCode::kNone;
}

TEST(Hostile, AnOffsetBeyond64BitsIsCorrupt) {
  const Bytes batch = make_batch(2, {.base_offset = INT64_MAX});
  RecordColumns columns;
  columns.buffers.push_back(batch);
  const Status decoded = append_columns(columns, BatchView(batch), 0, {batch.size()});
  ASSERT_FALSE(decoded.ok());
  EXPECT_EQ(decoded.error().code, ErrorCode::kCorruptMessage);
}

TEST(Hostile, ABombInAnyCodecIsRefusedAtTheLimit) {
  constexpr size_t kExpansion = 70 << 20;
  const Bytes records = records_with_value(kExpansion, 1);
  for (const Codec codec : {Codec::kGzip, Codec::kSnappy, Codec::kLz4, Codec::kZstd}) {
    const Bytes batch = wrap_block(*compress(codec, records), 1, codec);
    ValidationPolicy policy;
    policy.max_message_bytes = 4 << 20;
    EXPECT_EQ(verdict(batch, policy), ErrorCode::kMessageTooLarge) << static_cast<int>(codec);
    policy.recompress = true;
    policy.target_codec = codec == Codec::kZstd ? Codec::kLz4 : Codec::kZstd;
    EXPECT_EQ(verdict(batch, policy), ErrorCode::kMessageTooLarge) << "re-encoded";
    policy.recompress = false;
    policy.max_decompressed_bytes = 80 << 20;
    EXPECT_EQ(verdict(batch, policy), ErrorCode::kNone);
  }
}

/// A line of /proc/self/status, in KiB.
int64_t status_kib(const std::string& name) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(name + ":")) return std::stoll(line.substr(name.size() + 1));
  }
  return -1;
}

TEST(Hostile, TheExpansionIsNotHeldInMemory) {
  Bytes batch;
  {
    const Bytes records = records_with_value(60 << 20, 1);
    batch = wrap_block(*compress(Codec::kZstd, records), 1, Codec::kZstd);
  }
  ASSERT_LT(batch.size(), 100'000U);
  std::ofstream("/proc/self/clear_refs") << "5";  // the peak starts again from here
  const int64_t before_kib = status_kib("VmRSS");
  if (status_kib("VmHWM") > before_kib + 1024) GTEST_SKIP() << "cannot reset the peak here";
  EXPECT_EQ(verdict(batch), ErrorCode::kNone);
  EXPECT_LT(status_kib("VmHWM"), before_kib + (16 << 10));
}

TEST(Hostile, TheExpansionLimitFollowsMaxMessageBytes) {
  EXPECT_EQ(default_max_decompressed_bytes(1'048'588), 64LL << 20);
  EXPECT_EQ(default_max_decompressed_bytes(10 << 20), 160LL << 20);
}

TEST(Hostile, RecordsAroundTheWindowSizeAreChecked) {
  for (const size_t size : {65'000, 65'520, 65'525, 65'530, 65'536, 65'540, 131'072, 1'000'000}) {
    const Bytes records = records_with_value(size, 3);
    for (const Codec codec : all_codecs()) {
      EXPECT_EQ(
          verdict(wrap_block(*compress(codec, records), 3, codec), {.max_message_bytes = 8 << 20}),
          ErrorCode::kNone)
          << size;
      EXPECT_EQ(
          verdict(wrap_block(*compress(codec, records), 2, codec), {.max_message_bytes = 8 << 20}),
          ErrorCode::kInvalidRecord);
      EXPECT_EQ(
          verdict(wrap_block(*compress(codec, records), 4, codec), {.max_message_bytes = 8 << 20}),
          ErrorCode::kInvalidRecord);
    }
  }
}

TEST(Hostile, ALargeRecordWithBadFieldsIsRefusedLikeASmallOne) {
  const Bytes good = records_with_value(200'000, 1);
  std::mt19937 random(3);
  for (size_t position = 0; position < 16; ++position) {
    for (int step = 0; step < 32; ++step) {
      Bytes bad = good;
      bad[position] = static_cast<uint8_t>(random());
      const ErrorCode plain = verdict(wrap_block(bad, 1));
      const ErrorCode packed = verdict(wrap_block(*compress(Codec::kLz4, bad), 1, Codec::kLz4));
      EXPECT_EQ(plain, packed) << position << ": " << static_cast<int>(bad[position]);
    }
  }
}

TEST(Hostile, ACountOfTwoBillionEndsWithTheBytes) {
  for (const Codec codec : all_codecs()) {
    Bytes batch = wrap_block(*compress(codec, records_with_value(10, 2)), INT32_MAX, codec);
    EXPECT_EQ(verdict(batch), ErrorCode::kInvalidRecord);
  }
}

/// Whatever the bytes, the check ends with a verdict, and what it lets through can be read back.
TEST(Hostile, RandomDamageUnderAGoodCrcNeverGetsThroughUnreadable) {
  std::mt19937 random(20'241'124);
  const auto pick = [&random](size_t below) { return static_cast<size_t>(random()) % below; };
  int accepted = 0;
  for (int round = 0; round < 20'000; ++round) {
    const Codec codec = all_codecs()[pick(5)];
    Bytes batch = make_batch(1 + static_cast<int>(pick(8)), {.codec = codec});
    const size_t first = pick(4) == 0 ? field::kAttributes : kBatchHeaderSize;
    for (size_t i = 0; i < 1 + pick(3); ++i) {
      batch[first + pick(batch.size() - first)] = static_cast<uint8_t>(random());
    }
    reseal(batch);
    auto result = validate_batch(batch, {.compacted = pick(2) == 0}, kNow);
    auto* good = std::get_if<ValidatedBatch>(&result);
    if (good == nullptr) continue;
    ++accepted;
    const BatchView view(good->bytes);
    const auto records = decompress(static_cast<Codec>(view.codec_id()), view.records(), 64 << 20);
    ASSERT_TRUE(records.ok());
    RecordReader reader(*records, view.record_count());
    for (int32_t i = 0; i < view.record_count(); ++i) {
      const auto record = reader.next();
      ASSERT_TRUE(record.ok() && record->has_value());
      ASSERT_EQ((*record)->offset_delta, i);
    }
    ASSERT_FALSE(reader.next()->has_value());
  }
  EXPECT_GT(accepted, 1000) << "the damage was such that the good path was never taken";
}

}  // namespace
}  // namespace barnabas::record
