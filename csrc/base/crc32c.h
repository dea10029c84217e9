// CRC-32C (Castagnoli), the checksum of RecordBatch v2. AVX-512 where the processor has it, which
// is found out at run time; else SSE4.2 with three interleaved streams, which every x86-64 build
// has; tables elsewhere.
#pragma once

#include <cstdint>

#include "base/bytes.h"

namespace barnabas {

[[nodiscard]] uint32_t crc32c(ByteView bytes);
/// The checksum of A then B, given that of A.
[[nodiscard]] uint32_t crc32c_extend(uint32_t crc, ByteView bytes);
/// As crc32c on a processor without AVX-512.
[[nodiscard]] uint32_t crc32c_by_streams(ByteView bytes);
/// By tables alone: what other processors have, and what tests compare with.
[[nodiscard]] uint32_t crc32c_portable(ByteView bytes);

}  // namespace barnabas
