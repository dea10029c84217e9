#include "record/record.h"

#include <gtest/gtest.h>

#include <array>

#include "batches.h"

namespace barnabas::record {
namespace {

Bytes record_of(const Bytes& body) {
  Bytes record = body;
  record.insert(record.begin(), static_cast<uint8_t>(body.size() * 2));  // zig-zag, one byte
  return record;
}

Error error_of(const Bytes& records, int32_t count = 1) {
  RecordReader reader(records, count);
  while (true) {
    auto next = reader.next();
    if (!next.ok()) return next.error();
    if (!next->has_value()) return Error{ErrorCode::kNone, ""};
  }
}

TEST(Record, ReadsBackWhatTheBuilderWrote) {
  const std::string header_key = "trace";
  const std::array<HeaderView, 2> headers{HeaderView{as_bytes(header_key), as_bytes("abc")},
                                          HeaderView{as_bytes(""), std::nullopt}};
  BatchBuilder builder({});
  builder.append(kNow, as_bytes("k"), std::nullopt, headers);
  builder.append(kNow - 5, std::nullopt, as_bytes(""), {});
  builder.append_at(7, kNow + 5, as_bytes(""), as_bytes("v"));
  const Bytes batch = *builder.build();
  const BatchView view(batch);
  EXPECT_EQ(view.max_timestamp(), kNow + 5);
  EXPECT_EQ(view.base_timestamp(), kNow);
  EXPECT_EQ(view.last_offset_delta(), 7);
  EXPECT_EQ(view.record_count(), 3);
  EXPECT_EQ(crc32c(view.crc_payload()), view.crc());

  RecordReader reader(view.records(), view.record_count());
  auto first = *reader.next();
  ASSERT_TRUE(first.has_value());
  EXPECT_EQ(as_text(*first->key), "k");
  EXPECT_FALSE(first->value.has_value());
  ASSERT_EQ(first->header_count, 2);

  auto second = *reader.next();
  EXPECT_EQ(second->timestamp_delta, -5);
  EXPECT_FALSE(second->key.has_value());
  EXPECT_TRUE(second->value->empty());
  auto third = *reader.next();
  EXPECT_EQ(third->offset_delta, 7);
  EXPECT_TRUE(third->key->empty());
  EXPECT_FALSE(reader.next()->has_value());
}

TEST(Record, RefusesEveryTruncationAndEveryLeftover) {
  const std::array<HeaderView, 1> headers{HeaderView{as_bytes("h"), as_bytes("v")}};
  BatchBuilder builder({});
  builder.append(kNow, as_bytes("key"), as_bytes("value"), headers);
  const Bytes batch = *builder.build();
  Bytes records(batch.begin() + kBatchHeaderSize, batch.end());
  EXPECT_EQ(error_of(records).code, ErrorCode::kNone);
  for (size_t size = 0; size < records.size(); ++size) {
    const Bytes cut(records.begin(), records.begin() + static_cast<ptrdiff_t>(size));
    EXPECT_EQ(error_of(cut).code, ErrorCode::kInvalidRecord) << size;
  }
  records.push_back(0);
  EXPECT_EQ(error_of(records).code, ErrorCode::kInvalidRecord);
}

TEST(Record, RefusesLengthsAndCountsThatDoNotFit) {
  // body: attributes, timestamp delta, offset delta, key length, value length, header count
  EXPECT_EQ(error_of(record_of({0, 0, 0, 1, 1, 0})).code, ErrorCode::kNone);
  EXPECT_EQ(error_of(record_of({0, 0, 0, 2, 1, 0})).code, ErrorCode::kInvalidRecord) << "key eats";
  EXPECT_EQ(error_of(record_of({0, 0, 0, 126, 1, 0})).code, ErrorCode::kInvalidRecord);
  EXPECT_EQ(error_of(record_of({0, 0, 0, 1, 126, 0})).code, ErrorCode::kInvalidRecord);
  EXPECT_EQ(error_of(record_of({0, 0, 0, 1, 1, 1})).code, ErrorCode::kInvalidRecord) << "-1";
  EXPECT_EQ(error_of(record_of({0, 0, 0, 1, 1, 0xfe, 0xff, 0xff, 0xff, 0x0f})).code,
            ErrorCode::kInvalidRecord)
      << "2^31-1 headers";
  EXPECT_EQ(error_of(record_of({0, 0, 0, 1, 1, 2, 1, 1})).code, ErrorCode::kInvalidRecord)
      << "a header's key may not be null";
  EXPECT_EQ(error_of(record_of({0, 0, 0, 1, 1, 2, 0, 1})).code, ErrorCode::kNone);
  EXPECT_EQ(error_of(record_of({0, 0, 0, 1, 1, 2, 0, 8})).code, ErrorCode::kInvalidRecord);
  EXPECT_EQ(error_of(record_of({0, 0, 0, 1, 1, 0, 9})).code, ErrorCode::kInvalidRecord)
      << "a byte left over";
  EXPECT_EQ(error_of({0xff, 0xff, 0xff, 0xff, 0x0f}).code, ErrorCode::kInvalidRecord);
  EXPECT_EQ(error_of({1}).code, ErrorCode::kInvalidRecord) << "length -1";
  EXPECT_EQ(error_of({}, -1).code, ErrorCode::kInvalidRecord);
  EXPECT_EQ(error_of({}, INT32_MAX).code, ErrorCode::kInvalidRecord);
}

}  // namespace
}  // namespace barnabas::record
