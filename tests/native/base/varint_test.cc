#include "base/varint.h"

#include <gtest/gtest.h>

#include <array>
#include <limits>

namespace barnabas {
namespace {

TEST(Varint, RoundTripsTheEdgesOfEveryLength) {
  for (int bit = 0; bit < 64; ++bit) {
    for (const int64_t near : {-1, 0, 1}) {
      const auto value = static_cast<int64_t>((uint64_t{1} << bit) + static_cast<uint64_t>(near));
      std::array<uint8_t, kMaxVarint64Bytes> bytes{};
      const uint8_t* end = write_uvarint(bytes.data(), zigzag_encode(value));
      EXPECT_EQ(end - bytes.data(), uvarint_size(zigzag_encode(value)));
      int64_t read = 0;
      EXPECT_EQ(read_varlong(bytes.data(), end, read), end);
      EXPECT_EQ(read, value);
      EXPECT_EQ(read_varlong(bytes.data(), end - 1, read), nullptr) << "cut off";
    }
  }
}

TEST(Varint, RefusesMoreThan32Bits) {
  const std::array<uint8_t, 5> largest{0xff, 0xff, 0xff, 0xff, 0x0f};
  int32_t value = 0;
  EXPECT_NE(read_varint(largest.data(), largest.data() + 5, value), nullptr);
  EXPECT_EQ(value, std::numeric_limits<int32_t>::min());
  const std::array<uint8_t, 5> too_large{0xff, 0xff, 0xff, 0xff, 0x1f};
  EXPECT_EQ(read_varint(too_large.data(), too_large.data() + 5, value), nullptr);
  const std::array<uint8_t, 6> too_long{0x80, 0x80, 0x80, 0x80, 0x80, 0x00};
  EXPECT_EQ(read_varint(too_long.data(), too_long.data() + 6, value), nullptr);
}

}  // namespace
}  // namespace barnabas
