// Batches taken apart into columns: what Arrow is given, byte for byte.
#include "record/columns.h"

#include <gtest/gtest.h>

#include <array>
#include <string>

#include "batches.h"
#include "record/builder.h"

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
  EXPECT_EQ(decoded.columns.timestamps, (std::vector<int64_t>{kNow, kNow + 1}));
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
  EXPECT_EQ(decoded.columns.header_ends, (std::vector<int64_t>{0, 2, 2}));
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
    EXPECT_EQ(decoded.columns.offsets, (std::vector<int64_t>{107, 108, 109}));
    EXPECT_EQ(decoded.text(decoded.columns.values, 0), "value number 7");
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
      const Bytes batch(sealed->begin(), sealed->end());
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
