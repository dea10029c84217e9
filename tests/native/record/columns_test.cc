// Batches taken apart into columns: what Arrow is given, byte for byte.
#include "record/columns.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <optional>
#include <random>
#include <string>

#include "batches.h"
#include "record/builder.h"
#include "record/record.h"

namespace barnabas::record {
namespace {

constexpr size_t kLimit = 1 << 20;

class Decoded {
 public:
  void add(const Bytes& batch, int64_t from_offset = INT64_MIN) {
    const auto buffer = static_cast<int32_t>(columns.buffers.size());
    columns.buffers.emplace_back(batch);
    const Status status = append_columns(columns, BatchView(batch), buffer, {kLimit, from_offset});
    EXPECT_TRUE(status.ok());
  }
  [[nodiscard]] std::string text(const BinaryColumn& column, size_t i) const {
    if (column.is_null(i)) return "(null)";
    const BinaryView& view = column.views()[i];
    return std::string(as_text({view.data(columns.buffers), static_cast<size_t>(view.length)}));
  }

  RecordColumns columns;
};

std::vector<int64_t> listed(const RawArray<int64_t>& column) {
  return {column.begin(), column.end()};
}

TEST(Columns, ShortStringsLieInTheirViewsAndLongOnesInTheBuffer) {
  const std::string shortest(12, 's');
  const std::string longest(13, 'l');
  BatchBuilder builder({});
  builder.append(kNow, as_bytes(shortest), as_bytes(longest));
  builder.append(kNow + 1, as_bytes(""), as_bytes(shortest));
  const Bytes batch = *builder.build();
  Decoded decoded;
  decoded.add(batch);
  EXPECT_EQ(decoded.text(decoded.columns.keys, 0), shortest);
  EXPECT_EQ(decoded.text(decoded.columns.keys, 1), "");
  EXPECT_EQ(decoded.text(decoded.columns.values, 0), longest);
  EXPECT_EQ(decoded.text(decoded.columns.values, 1), shortest);
  EXPECT_EQ(listed(decoded.columns.timestamps), (std::vector<int64_t>{kNow, kNow + 1}));
  EXPECT_TRUE(decoded.columns.values.validity().empty());
  EXPECT_TRUE(decoded.columns.header_ends.empty());
}

TEST(Columns, NullsBeforeAndAfterValuesOverSeveralBatches) {
  for (size_t nulls = 0; nulls < 20; ++nulls) {
    for (size_t values = 0; values < 20; ++values) {
      BatchBuilder builder({});
      for (size_t i = 0; i < nulls; ++i) builder.append(kNow, std::nullopt, as_bytes("v"));
      for (size_t i = 0; i < values; ++i) builder.append(kNow, as_bytes("k"), as_bytes("v"));
      builder.append(kNow, std::nullopt, std::nullopt);
      const Bytes batch = *builder.build();
      Decoded decoded;
      decoded.add(batch);
      decoded.add(batch);
      const size_t count = nulls + values + 1;
      ASSERT_EQ(decoded.columns.keys.size(), 2 * count);
      ASSERT_EQ(decoded.columns.keys.null_count(), 2 * (nulls + 1));
      for (size_t i = 0; i < 2 * count; ++i) {
        const bool is_value = i % count >= nulls && i % count < nulls + values;
        ASSERT_EQ(decoded.text(decoded.columns.keys, i), is_value ? "k" : "(null)")
            << nulls << " nulls, " << values << " values, record " << i;
      }
    }
  }
}

TEST(Columns, HeadersAreThereFromTheFirstRecordThatHasThem) {
  const std::array<HeaderView, 2> headers{HeaderView{as_bytes("trace"), as_bytes("abc")},
                                          HeaderView{as_bytes(""), std::nullopt}};
  BatchBuilder builder({});
  builder.append(kNow, std::nullopt, as_bytes("none"));
  builder.append(kNow, std::nullopt, as_bytes("two"), headers);
  builder.append(kNow, std::nullopt, as_bytes("none"));
  const Bytes batch = *builder.build();
  Decoded decoded;
  decoded.add(batch);
  EXPECT_EQ(listed(decoded.columns.header_ends), (std::vector<int64_t>{0, 2, 2}));
  EXPECT_EQ(decoded.text(decoded.columns.header_keys, 0), "trace");
  EXPECT_EQ(decoded.text(decoded.columns.header_values, 0), "abc");
  EXPECT_EQ(decoded.text(decoded.columns.header_keys, 1), "");
  EXPECT_EQ(decoded.text(decoded.columns.header_values, 1), "(null)");
}

TEST(Columns, ReadingBeginsInTheMiddleOfABatchOfAnyCodec) {
  for (const Codec codec :
       {Codec::kNone, Codec::kGzip, Codec::kSnappy, Codec::kLz4, Codec::kZstd}) {
    BatchBuilder builder({.codec = codec, .base_offset = 100});
    for (int i = 0; i < 10; ++i) {
      builder.append(kNow, std::nullopt, as_bytes("value number " + std::to_string(i)));
    }
    const Bytes batch = *builder.build();
    Decoded decoded;
    decoded.add(batch, 107);
    EXPECT_EQ(listed(decoded.columns.offsets), (std::vector<int64_t>{107, 108, 109}));
    EXPECT_EQ(decoded.text(decoded.columns.values, 0), "value number 7");
  }
}

TEST(Columns, LogAppendTimeIsThatOfAllRecords) {
  BatchBuilder builder({.timestamp_type = TimestampType::kLogAppendTime});
  for (int i = 0; i < 10; ++i) builder.append(kNow + i, std::nullopt, as_bytes("one like another"));
  const Bytes batch = *builder.build();
  Decoded decoded;
  decoded.add(batch);
  EXPECT_EQ(listed(decoded.columns.timestamps), std::vector<int64_t>(10, kNow + 9));
}

/// A record as it was given to a builder.
struct Given {
  int64_t timestamp = 0;
  std::optional<std::string> key;
  std::optional<std::string> value;
  bool has_header = false;
};

/// Runs of records that are alike, which is what builders and decoders look out for, between
/// others.
std::vector<Given> runs_of_alike(std::mt19937& random) {
  const auto below = [&random](uint32_t end) { return random() % end; };
  const auto text = [&](size_t size) -> std::optional<std::string> {
    if (below(8) == 0) return std::nullopt;
    return std::string(size, static_cast<char>('a' + below(26)));
  };
  constexpr std::array<size_t, 8> kSizes{0, 1, 12, 13, 63, 64, 200, 8200};
  std::vector<Given> records;
  while (records.size() < 9000) {
    Given like{kNow + static_cast<int64_t>(below(3)) * 5000, text(kSizes[below(4)]),
               text(kSizes[below(8)]), below(6) == 0};
    const uint32_t run = below(5) == 0 ? below(400) : below(4);
    for (uint32_t i = 0; i <= run; ++i) {
      if (below(2) == 0) like.timestamp += below(3);
      if (like.value) like.value->assign(like.value->size(), static_cast<char>('a' + i % 26));
      records.push_back(like);
    }
  }
  return records;
}

TEST(Columns, RecordsAlikeAndNotComeOutAsTheyWent) {
  std::mt19937 random(7);
  const std::array<HeaderView, 1> header{HeaderView{as_bytes("h"), as_bytes("v")}};
  for (int round = 0; round < 10; ++round) {
    const std::vector<Given> given = runs_of_alike(random);
    BatchBuilder builder({.base_offset = 1000});
    for (const Given& record : given) {
      const auto bytes = [](const std::optional<std::string>& text) {
        return text ? std::optional<ByteView>(as_bytes(*text)) : std::nullopt;
      };
      builder.append(
          record.timestamp, bytes(record.key), bytes(record.value),
          record.has_header ? std::span<const HeaderView>(header) : std::span<const HeaderView>());
    }
    const Bytes batch = *builder.build();
    Decoded decoded;
    decoded.add(batch);
    ASSERT_EQ(decoded.columns.offsets.size(), given.size());
    RecordReader reader(BatchView(batch).records(), BatchView(batch).record_count());
    for (size_t i = 0; i < given.size(); ++i) {
      const auto record = reader.next();
      ASSERT_TRUE(record.ok() && *record) << i;
      ASSERT_EQ((*record)->header_count, given[i].has_header ? 1 : 0);
      ASSERT_EQ((*record)->offset_delta, static_cast<int32_t>(i));
      ASSERT_EQ(decoded.columns.offsets[i], 1000 + static_cast<int64_t>(i));
      ASSERT_EQ(decoded.columns.timestamps[i], given[i].timestamp);
      ASSERT_EQ(decoded.text(decoded.columns.keys, i), given[i].key.value_or("(null)"));
      ASSERT_EQ(decoded.text(decoded.columns.values, i), given[i].value.value_or("(null)"));
    }
    EXPECT_EQ(
        decoded.columns.header_ends[given.size() - 1],
        std::count_if(given.begin(), given.end(), [](const Given& g) { return g.has_header; }));
  }
}

TEST(Columns, WhatIsDamagedAmongRecordsAlikeIsSeenAsOneByOne) {
  BatchBuilder builder({});
  for (int i = 0; i < 200; ++i)
    builder.append(kNow, as_bytes("key"), as_bytes("a value of 20 bytes."));
  const Bytes whole = *builder.build();
  const size_t record_bytes = (whole.size() - kBatchHeaderSize) / 200;
  for (size_t at = kBatchHeaderSize; at < whole.size(); at += at % 7 + 1) {
    for (const uint8_t flip : {0x01, 0x02, 0x80, 0xff}) {
      Bytes batch = whole;
      batch[at] ^= flip;
      RecordReader reader(BatchView(batch).records(), 200);
      std::vector<int32_t> offset_deltas;
      bool good = false;
      while (true) {
        const auto record = reader.next();
        good = record.ok();
        if (!good || !*record) break;
        offset_deltas.push_back((*record)->offset_delta);
      }
      RecordColumns columns;
      columns.buffers.emplace_back(batch);
      const Status status = append_columns(columns, BatchView(batch), 0, {kLimit});
      ASSERT_EQ(status.ok(), good) << at << ", in a record of " << record_bytes;
      if (!good) continue;
      ASSERT_EQ(columns.offsets.size(), offset_deltas.size());
      for (size_t i = 0; i < offset_deltas.size(); ++i) {
        ASSERT_EQ(columns.offsets[i], offset_deltas[i]);
      }
    }
  }
}

TEST(Builder, SealsBatchAfterBatchInItsOwnMemory) {
  for (const Codec codec : {Codec::kNone, Codec::kLz4}) {
    BatchBuilder builder({.codec = codec});
    for (int round = 0; round < 3; ++round) {
      const std::string value = "round " + std::to_string(round);
      builder.append(kNow + round, std::nullopt, as_bytes(value));
      auto sealed = builder.seal();
      ASSERT_TRUE(sealed.ok());
      const Bytes batch(sealed->bytes.begin(), sealed->bytes.end());
      EXPECT_EQ(BatchView(batch).record_count(), 1);
      EXPECT_EQ(BatchView(batch).max_timestamp(), kNow + round);
      Decoded decoded;
      decoded.add(batch);
      EXPECT_EQ(decoded.text(decoded.columns.values, 0), value);
    }
  }
}

}  // namespace
}  // namespace barnabas::record
