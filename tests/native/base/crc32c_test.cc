#include "base/crc32c.h"

#include <gtest/gtest.h>

#include <numeric>
#include <random>
#include <vector>

namespace barnabas {
namespace {

TEST(Crc32c, MatchesThePublishedVectors) {
  EXPECT_EQ(crc32c(as_bytes("123456789")), 0xe3069283U);
  EXPECT_EQ(crc32c({}), 0U);
  std::vector<uint8_t> bytes(32, 0);  // RFC 3720, B.4
  EXPECT_EQ(crc32c(bytes), 0x8a9136aaU);
  bytes.assign(32, 0xff);
  EXPECT_EQ(crc32c(bytes), 0x62a8ab43U);
  std::iota(bytes.begin(), bytes.end(), uint8_t{0});
  EXPECT_EQ(crc32c(bytes), 0x46dd794eU);
}

TEST(Crc32c, AgreesWithTheTablesAtEveryLength) {
  std::mt19937 random(1);
  std::vector<uint8_t> bytes(40'000);
  for (auto& byte : bytes) byte = static_cast<uint8_t>(random());
  for (size_t size = 0; size < bytes.size(); size += size < 2000 ? 1 : 997) {
    const ByteView view(bytes.data(), size);
    ASSERT_EQ(crc32c(view), crc32c_portable(view)) << size;
    ASSERT_EQ(crc32c_by_streams(view), crc32c_portable(view)) << size;
  }
  for (size_t size = 3 * 4096 - 2; size < 3 * 4096 + 2; ++size) {
    const ByteView view(bytes.data() + 1, size);
    ASSERT_EQ(crc32c_by_streams(view), crc32c_portable(view)) << size;
  }
}

TEST(Crc32c, ExtendsOverAnySplit) {
  std::mt19937 random(2);
  std::vector<uint8_t> bytes(20'000);
  for (auto& byte : bytes) byte = static_cast<uint8_t>(random());
  const ByteView all(bytes);
  for (size_t split = 0; split < bytes.size(); split += 613) {
    EXPECT_EQ(crc32c_extend(crc32c(all.first(split)), all.subspan(split)), crc32c(all));
  }
}

}  // namespace
}  // namespace barnabas
