#include "record/validate.h"

#include <gtest/gtest.h>

#include "batches.h"
#include "record/record.h"

namespace barnabas::record {
namespace {

ValidatedBatch accept(Bytes& batch, const ValidationPolicy& policy = {}) {
  auto result = validate_batch(batch, policy, kNow);
  if (auto* failure = std::get_if<ValidationFailure>(&result)) {
    ADD_FAILURE() << failure->error.message;
    return {};
  }
  return std::get<ValidatedBatch>(std::move(result));
}

ValidationFailure refuse(Bytes batch, const ValidationPolicy& policy = {}) {
  const Bytes before = batch;
  auto result = validate_batch(batch, policy, kNow);
  EXPECT_EQ(batch, before) << "a refused batch is left as it was";
  if (auto* failure = std::get_if<ValidationFailure>(&result)) return std::move(*failure);
  ADD_FAILURE() << "the batch was accepted";
  return {};
}

ErrorCode code_of(Bytes batch, const ValidationPolicy& policy = {}) {
  return refuse(std::move(batch), policy).error.code;
}

TEST(Validate, AcceptsEveryCodecInPlace) {
  for (const Codec codec : all_codecs()) {
    Bytes batch = make_batch(100, {.codec = codec});
    const Bytes before = batch;
    const ValidatedBatch result = accept(batch);
    EXPECT_EQ(result.bytes.data(), batch.data());
    EXPECT_TRUE(result.rewritten.empty());
    EXPECT_EQ(result.max_timestamp, kNow);
    EXPECT_EQ(result.max_timestamp_offset_delta, 99);
    EXPECT_EQ(batch, before);
  }
}

TEST(Validate, RefusesBytesThatAreNotOneBatch) {
  EXPECT_EQ(code_of({}), ErrorCode::kInvalidRecord);
  const Bytes good = make_batch(3);
  for (size_t size = 1; size < good.size(); ++size) {
    EXPECT_EQ(code_of(Bytes(good.begin(), good.begin() + static_cast<ptrdiff_t>(size))),
              ErrorCode::kInvalidRecord)
        << size;
  }
  Bytes two = good;
  two.insert(two.end(), good.begin(), good.end());
  EXPECT_EQ(code_of(two), ErrorCode::kInvalidRecord);
  Bytes trailing = good;
  trailing.push_back(0);
  EXPECT_EQ(code_of(trailing), ErrorCode::kCorruptMessage);
  for (const int32_t length : {-1, INT32_MIN, 0, 13, 48}) {
    Bytes bad = good;
    store_be<int32_t>(bad.data() + field::kBatchLength, length);
    EXPECT_EQ(code_of(bad), ErrorCode::kCorruptMessage) << length;
  }
  Bytes huge = good;
  store_be<int32_t>(huge.data() + field::kBatchLength, INT32_MAX);
  EXPECT_EQ(code_of(huge), ErrorCode::kInvalidRecord);
}

TEST(Validate, RefusesOtherMagics) {
  for (const auto& [magic, code] : {std::pair{0, ErrorCode::kInvalidRecord},
                                    {1, ErrorCode::kInvalidRecord},
                                    {3, ErrorCode::kCorruptMessage},
                                    {-1, ErrorCode::kCorruptMessage}}) {
    Bytes batch = make_batch(1);
    set_field<int8_t>(batch, field::kMagicByte, static_cast<int8_t>(magic));
    EXPECT_EQ(code_of(batch), code) << magic;
  }
}

TEST(Validate, RefusesAFlippedBitAnywhereUnderTheCrc) {
  const Bytes good = make_batch(5);
  for (size_t i = field::kCrc; i < good.size(); ++i) {
    Bytes bad = good;
    bad[i] ^= 0x10;
    EXPECT_EQ(code_of(bad), ErrorCode::kCorruptMessage) << i;
  }
}

TEST(Validate, RefusesABatchAboveMaxMessageBytes) {
  Bytes batch = make_batch(10);
  ValidationPolicy policy;
  policy.max_message_bytes = static_cast<int32_t>(batch.size()) - 1;
  policy.topic = "t";
  const ValidationFailure failure = refuse(batch, policy);
  EXPECT_EQ(failure.error.code, ErrorCode::kMessageTooLarge);
  EXPECT_NE(failure.error.message.find("t-0"), std::string::npos);
  policy.max_message_bytes += 1;
  accept(batch, policy);
}

TEST(Validate, RefusesHeadersThatDoNotAddUp) {
  struct Case {
    const char* name;
    void (*damage)(Bytes&);
    ErrorCode code;
  };
  const Case cases[] = {
      {"count", [](Bytes& b) { set_field<int32_t>(b, field::kRecordCount, 2); },
       ErrorCode::kInvalidRecord},
      {"count 0", [](Bytes& b) { set_field<int32_t>(b, field::kRecordCount, 0); },
       ErrorCode::kInvalidRecord},
      {"count -1", [](Bytes& b) { set_field<int32_t>(b, field::kRecordCount, -1); },
       ErrorCode::kInvalidRecord},
      {"last offset delta", [](Bytes& b) { set_field<int32_t>(b, field::kLastOffsetDelta, 5); },
       ErrorCode::kInvalidRecord},
      {"negative last offset delta",
       [](Bytes& b) { set_field<int32_t>(b, field::kLastOffsetDelta, -1); },
       ErrorCode::kInvalidRecord},
      {"both too large",
       [](Bytes& b) {
         set_field<int32_t>(b, field::kRecordCount, 4);
         set_field<int32_t>(b, field::kLastOffsetDelta, 3);
       },
       ErrorCode::kInvalidRecord},
      {"both too small",
       [](Bytes& b) {
         set_field<int32_t>(b, field::kRecordCount, 2);
         set_field<int32_t>(b, field::kLastOffsetDelta, 1);
       },
       ErrorCode::kInvalidRecord},
      {"base offset", [](Bytes& b) { set_field<int64_t>(b, field::kBaseOffset, 7); },
       ErrorCode::kInvalidRecord},
      {"control", [](Bytes& b) { set_field<int16_t>(b, field::kAttributes, 0x20); },
       ErrorCode::kInvalidRecord},
      {"delete horizon", [](Bytes& b) { set_field<int16_t>(b, field::kAttributes, 0x40); },
       ErrorCode::kInvalidRecord},
      {"unknown codec", [](Bytes& b) { set_field<int16_t>(b, field::kAttributes, 0x05); },
       ErrorCode::kUnsupportedCompressionType},
      {"a codec that it is not", [](Bytes& b) { set_field<int16_t>(b, field::kAttributes, 0x04); },
       ErrorCode::kInvalidRecord},
      {"transactional without a producer",
       [](Bytes& b) { set_field<int16_t>(b, field::kAttributes, 0x10); },
       ErrorCode::kInvalidRecord},
      {"a producer without epoch",
       [](Bytes& b) {
         set_field<int64_t>(b, field::kProducerId, 9);
         set_field<int32_t>(b, field::kBaseSequence, 0);
       },
       ErrorCode::kInvalidRecord},
      {"a producer without sequence",
       [](Bytes& b) {
         set_field<int64_t>(b, field::kProducerId, 9);
         set_field<int16_t>(b, field::kProducerEpoch, 0);
       },
       ErrorCode::kInvalidRecord},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    Bytes batch = make_batch(3);
    c.damage(batch);
    EXPECT_EQ(code_of(batch), c.code);
  }
}

TEST(Validate, AcceptsIdempotentAndTransactionalBatches) {
  Bytes batch = make_batch(
      3, {.producer_id = 9, .producer_epoch = 0, .base_sequence = 0, .transactional = true});
  accept(batch);
}

TEST(Validate, LetsTheBrokerItselfWriteMarkers) {
  Bytes marker = make_batch(
      1, {.producer_id = 9, .producer_epoch = 1, .transactional = true, .control = true});
  ValidationPolicy policy;
  policy.from_client = false;
  policy.recompress = true;
  policy.target_codec = Codec::kZstd;
  EXPECT_TRUE(accept(marker, policy).rewritten.empty()) << "markers are never compressed";
}

TEST(Validate, RefusesOffsetDeltasThatDoNotCountUp) {
  for (const Codec codec : all_codecs()) {
    BatchBuilder builder({.codec = codec});
    builder.append_at(0, kNow, as_bytes("a"), as_bytes("b"));
    builder.append_at(2, kNow, as_bytes("a"), as_bytes("b"));
    Bytes batch = *builder.build();
    set_field<int32_t>(batch, field::kLastOffsetDelta, 1);
    EXPECT_EQ(code_of(batch), ErrorCode::kInvalidRecord);
  }
}

TEST(Validate, NamesTheRecordsWithoutKeyInACompactedTopic) {
  for (const Codec codec : all_codecs()) {
    BatchBuilder builder({.codec = codec});
    builder.append(kNow, as_bytes("a"), as_bytes("b"));
    builder.append(kNow, std::nullopt, as_bytes("b"));
    builder.append(kNow, as_bytes(""), std::nullopt);
    builder.append(kNow, std::nullopt, std::nullopt);
    Bytes batch = *builder.build();
    accept(batch);
    ValidationPolicy policy;
    policy.compacted = true;
    policy.topic = "t";
    policy.partition = 3;
    const ValidationFailure failure = refuse(batch, policy);
    EXPECT_EQ(failure.error.code, ErrorCode::kInvalidRecord);
    ASSERT_EQ(failure.record_errors.size(), 2U);
    EXPECT_EQ(failure.record_errors[0].batch_index, 1);
    EXPECT_EQ(failure.record_errors[0].message,
              "Compacted topic cannot accept message without key in topic partition t-3");
    EXPECT_EQ(failure.record_errors[1].batch_index, 3);
  }
}

TEST(Validate, ListsAtMostAThousandRecordErrors) {
  BatchBuilder builder({});
  for (int i = 0; i < 5000; ++i) builder.append(kNow, std::nullopt, std::nullopt);
  ValidationPolicy policy;
  policy.compacted = true;
  const ValidationFailure failure = refuse(*builder.build(), policy);
  EXPECT_EQ(failure.record_errors.size(), ValidationPolicy{}.max_record_errors);
  EXPECT_NE(failure.error.message.find("5000"), std::string::npos);
}

Bytes batch_at(std::initializer_list<int64_t> timestamps, Codec codec = Codec::kNone) {
  BatchBuilder builder({.codec = codec});
  for (const int64_t timestamp : timestamps) {
    builder.append(timestamp, as_bytes("k"), as_bytes("v"));
  }
  return *builder.build();
}

TEST(Validate, RefusesTimestampsOutOfRangeAndNamesTheRecords) {
  ValidationPolicy policy;
  policy.timestamp_before_max_ms = 1000;
  policy.timestamp_after_max_ms = 2000;
  for (const Codec codec : all_codecs()) {
    Bytes edges = batch_at({kNow - 1000, kNow + 2000, kNoTimestamp}, codec);
    EXPECT_EQ(accept(edges, policy).max_timestamp_offset_delta, 1);
    const ValidationFailure failure =
        refuse(batch_at({kNow, kNow - 1001, kNow, kNow + 2001}, codec), policy);
    EXPECT_EQ(failure.error.code, ErrorCode::kInvalidTimestamp);
    EXPECT_EQ(failure.error.message,
              "One or more records have been rejected due to invalid timestamp");
    ASSERT_EQ(failure.record_errors.size(), 2U);
    EXPECT_EQ(failure.record_errors[0].batch_index, 1);
    EXPECT_EQ(failure.record_errors[0].message,
              "Timestamp " + std::to_string(kNow - 1001) +
                  " of message with offset 1 is out of range. The timestamp should be within [" +
                  std::to_string(kNow - 1000) + ", " + std::to_string(kNow + 2000) + "]");
    EXPECT_EQ(failure.record_errors[1].batch_index, 3);
  }
}

TEST(Validate, TakesAnyPastByDefaultAndAnHourOfFuture) {
  Bytes past = batch_at({0});
  accept(past);
  Bytes near_future = batch_at({kNow + 3'600'000});
  accept(near_future);
  EXPECT_EQ(code_of(batch_at({kNow + 3'600'001})), ErrorCode::kInvalidTimestamp);
  EXPECT_EQ(code_of(batch_at({INT64_MAX})), ErrorCode::kInvalidTimestamp);
  EXPECT_EQ(code_of(batch_at({INT64_MIN})), ErrorCode::kInvalidTimestamp);
}

TEST(Validate, PutsTheRecordsOwnMaximumIntoTheHeader) {
  for (const Codec codec : all_codecs()) {
    Bytes batch = batch_at({kNow, kNow + 7, kNow + 7, kNow + 3}, codec);
    set_field<int64_t>(batch, field::kMaxTimestamp, kNow + 1000);
    const ValidatedBatch result = accept(batch);
    EXPECT_EQ(result.max_timestamp, kNow + 7);
    EXPECT_EQ(result.max_timestamp_offset_delta, 1) << "the first that has it";
    EXPECT_EQ(BatchView(batch).max_timestamp(), kNow + 7);
    EXPECT_EQ(crc32c(BatchView(batch).crc_payload()), BatchView(batch).crc());
  }
}

TEST(Validate, WritesLogAppendTimeIntoTheBatch) {
  ValidationPolicy policy;
  policy.timestamp_type = TimestampType::kLogAppendTime;
  policy.timestamp_before_max_ms = 0;  // says nothing about times that are overwritten
  for (const Codec codec : all_codecs()) {
    Bytes batch = batch_at({5, 6}, codec);
    const ValidatedBatch result = accept(batch, policy);
    EXPECT_EQ(result.max_timestamp, kNow);
    const BatchView view(batch);
    EXPECT_EQ(view.timestamp_type(), TimestampType::kLogAppendTime);
    EXPECT_EQ(view.max_timestamp(), kNow);
    EXPECT_EQ(view.codec_id(), static_cast<uint8_t>(codec));
    EXPECT_EQ(crc32c(view.crc_payload()), view.crc());
  }
}

Bytes claiming_append_time(const Bytes& made, int64_t timestamp) {
  Bytes batch = made;
  set_field<int64_t>(batch, field::kMaxTimestamp, timestamp);
  const auto attributes =
      static_cast<int16_t>(BatchView(batch).attributes() | attribute::kTimestampTypeBit);
  set_field<int16_t>(batch, field::kAttributes, attributes);
  return batch;
}

TEST(Validate, TakesAppendTimeOfAProducerForItsOwnTime) {
  for (const Codec codec : all_codecs()) {
    Bytes batch = claiming_append_time(batch_at({5, 9}, codec), kNow + 7);
    const ValidatedBatch result = accept(batch);
    EXPECT_EQ(result.max_timestamp, kNow + 7);
    const BatchView view(batch);
    EXPECT_EQ(view.timestamp_type(), TimestampType::kCreateTime);
    EXPECT_EQ(view.max_timestamp(), kNow + 7);
    EXPECT_EQ(view.base_timestamp(), 5);
    EXPECT_EQ(view.codec_id(), static_cast<uint8_t>(codec));
    EXPECT_EQ(crc32c(view.crc_payload()), view.crc());
  }
  // The header's time is that of every record.
  Bytes far = claiming_append_time(batch_at({kNow + 9'000'000}), kNow);
  accept(far);
  const Bytes near = batch_at({kNow});
  EXPECT_EQ(code_of(claiming_append_time(near, kNow + 3'600'001)), ErrorCode::kInvalidTimestamp);
  EXPECT_EQ(code_of(claiming_append_time(near, kNoTimestamp)), ErrorCode::kInvalidTimestamp);
  ValidationPolicy policy;
  policy.timestamp_type = TimestampType::kLogAppendTime;
  EXPECT_EQ(code_of(claiming_append_time(near, kNow), policy), ErrorCode::kInvalidTimestamp);
}

TEST(Validate, ReencodesFromEveryCodecToEveryOther) {
  for (const Codec source : all_codecs()) {
    for (const Codec target : all_codecs()) {
      Bytes batch = make_batch(
          50, {.codec = source, .producer_id = 9, .producer_epoch = 3, .base_sequence = 11});
      ValidationPolicy policy;
      policy.recompress = true;
      policy.target_codec = target;
      const ValidatedBatch result = accept(batch, policy);
      EXPECT_EQ(result.rewritten.empty(), source == target);
      const BatchView view(result.bytes);
      EXPECT_EQ(view.size_bytes(), result.bytes.size());
      EXPECT_EQ(view.codec_id(), static_cast<uint8_t>(target));
      EXPECT_EQ(view.producer_id(), 9);
      EXPECT_EQ(view.producer_epoch(), 3);
      EXPECT_EQ(view.base_sequence(), 11);
      EXPECT_EQ(view.record_count(), 50);
      EXPECT_EQ(crc32c(view.crc_payload()), view.crc());
      const auto records = decompress(target, view.records(), 1 << 20);
      ASSERT_TRUE(records.ok());
      RecordReader reader(*records, 50);
      for (int i = 0; i < 50; ++i) {
        const auto record = *reader.next();
        ASSERT_TRUE(record.has_value());
        EXPECT_EQ(as_text(*record->value), "value-" + std::to_string(i));
      }
    }
  }
}

TEST(Validate, RefusesABatchThatReencodingMakesTooLarge) {
  BatchBuilder builder({.codec = Codec::kZstd});
  const std::string value(10'000, 'x');
  builder.append(kNow, as_bytes("k"), as_bytes(value));
  ValidationPolicy policy;
  policy.max_message_bytes = 5000;
  policy.recompress = true;
  EXPECT_EQ(code_of(*builder.build(), policy), ErrorCode::kMessageTooLarge);
}

TEST(Validate, ReencodingWithLogAppendTimeDoesBoth) {
  Bytes batch = batch_at({5, 6}, Codec::kGzip);
  ValidationPolicy policy;
  policy.timestamp_type = TimestampType::kLogAppendTime;
  policy.recompress = true;
  policy.target_codec = Codec::kLz4;
  const ValidatedBatch result = accept(batch, policy);
  const BatchView view(result.bytes);
  EXPECT_EQ(view.timestamp_type(), TimestampType::kLogAppendTime);
  EXPECT_EQ(view.max_timestamp(), kNow);
  EXPECT_EQ(crc32c(view.crc_payload()), view.crc());
}

}  // namespace
}  // namespace barnabas::record
