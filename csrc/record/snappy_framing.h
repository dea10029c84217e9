// The framing that snappy-java (xerial) puts around snappy blocks, which the Java client writes and
// every Kafka client reads.
//
// Layout (big-endian): magic 82 'S' 'N' 'A' 'P' 'P' 'Y' 00, version int32, compatible version
// int32; then per block: length int32 and the block as raw snappy. Raw snappy never starts with
// these bytes: 'N' would be a copy where only a literal can stand.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "base/bytes.h"

namespace barnabas::record::snappy_framing {

inline constexpr std::array<uint8_t, 8> kMagicBytes{0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0};
inline constexpr size_t kHeaderSize = 16;
inline constexpr int32_t kVersion = 1;
inline constexpr size_t kBlockBytes = 32 << 10;  // uncompressed, as snappy-java's default

[[nodiscard]] inline bool is_xerial(ByteView bytes) {
  return bytes.size() >= kMagicBytes.size() &&
         std::equal(kMagicBytes.begin(), kMagicBytes.end(), bytes.begin());
}

}  // namespace barnabas::record::snappy_framing
