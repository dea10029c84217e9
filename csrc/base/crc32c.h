// CRC-32C (Castagnoli), the checksum of RecordBatch v2. SSE4.2 with three interleaved streams where
// the processor has it (chosen at run time), tables elsewhere.
#pragma once

#include <cstdint>

#include "base/bytes.h"

namespace barnabas {

[[nodiscard]] uint32_t crc32c(ByteView bytes);
/// The checksum of A then B, given that of A.
[[nodiscard]] uint32_t crc32c_extend(uint32_t crc, ByteView bytes);
/// By tables alone: what crc32c falls back to, and what its tests compare it with.
[[nodiscard]] uint32_t crc32c_portable(ByteView bytes);

}  // namespace barnabas
