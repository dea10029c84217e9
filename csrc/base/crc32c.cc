#include "base/crc32c.h"

#include <array>
#include <cstring>

#if defined(__SSE4_2__)  // the baseline of x86-64 builds has it, see CMakeLists.txt
#include <nmmintrin.h>
#endif

namespace barnabas {
namespace {

constexpr uint32_t kReflectedPolynomial = 0x82f63b78;

// -- tables: eight bytes a step ------------------------------------------------------------------

using ByteTables = std::array<std::array<uint32_t, 256>, 8>;

constexpr ByteTables make_byte_tables() {
  ByteTables tables{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) {
      crc = (crc & 1) != 0 ? (crc >> 1) ^ kReflectedPolynomial : crc >> 1;
    }
    tables[0][byte] = crc;
  }
  for (uint32_t byte = 0; byte < 256; ++byte) {
    for (size_t i = 1; i < tables.size(); ++i) {
      const uint32_t previous = tables[i - 1][byte];
      tables[i][byte] = (previous >> 8) ^ tables[0][previous & 0xff];
    }
  }
  return tables;
}

constexpr ByteTables kByteTables = make_byte_tables();

uint32_t extend_with_tables(uint32_t crc, const uint8_t* p, size_t size) {
  while (size >= 8) {
    uint64_t word;
    std::memcpy(&word, p, sizeof word);
    word ^= crc;
    crc = 0;
    for (size_t i = 0; i < 8; ++i) crc ^= kByteTables[7 - i][(word >> (8 * i)) & 0xff];
    p += 8;
    size -= 8;
  }
  for (; size > 0; --size) crc = (crc >> 8) ^ kByteTables[0][(crc ^ *p++) & 0xff];
  return crc;
}

#if defined(__SSE4_2__)

// -- SSE4.2: three streams -----------------------------------------------------------------------
//
// The crc32 instruction has a latency of three cycles and a throughput of one, so three independent
// streams keep it busy. Joining them needs "the CRC after n more zero bytes", a linear map of the
// 32 bits, kept as four tables of 256 for the two stream lengths that are used.

constexpr size_t kLongStream = 4096;  // bytes; for large batches
constexpr size_t kShortStream = 256;  // bytes; for what is left, and for small ones

using ShiftTable = std::array<std::array<uint32_t, 256>, 4>;

// Row i is the image of the CRC register whose only set bit is i.
using BitMatrix = std::array<uint32_t, 32>;

constexpr uint32_t times(const BitMatrix& matrix, uint32_t crc) {
  uint32_t out = 0;
  for (size_t i = 0; crc != 0; ++i, crc >>= 1) {
    if ((crc & 1) != 0) out ^= matrix[i];
  }
  return out;
}

constexpr BitMatrix squared(const BitMatrix& matrix) {
  BitMatrix out{};
  for (size_t i = 0; i < out.size(); ++i) out[i] = times(matrix, matrix[i]);
  return out;
}

// REQUIRES: zero_bytes is a power of two.
constexpr ShiftTable make_shift_table(size_t zero_bytes) {
  BitMatrix matrix{};  // one zero bit
  matrix[0] = kReflectedPolynomial;
  for (size_t i = 1; i < matrix.size(); ++i) matrix[i] = 1U << (i - 1);
  for (size_t bits = 1; bits < zero_bytes * 8; bits *= 2) matrix = squared(matrix);
  ShiftTable table{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    for (size_t i = 0; i < table.size(); ++i) {
      table[i][byte] = times(matrix, byte << (8 * i));
    }
  }
  return table;
}

constexpr ShiftTable kLongShift = make_shift_table(kLongStream);
constexpr ShiftTable kShortShift = make_shift_table(kShortStream);

uint64_t shift(const ShiftTable& table, uint64_t crc) {
  return table[0][crc & 0xff] ^ table[1][(crc >> 8) & 0xff] ^ table[2][(crc >> 16) & 0xff] ^
         table[3][(crc >> 24) & 0xff];
}

uint64_t load_word(const uint8_t* p) {
  uint64_t word;
  std::memcpy(&word, p, sizeof word);
  return word;
}

// REQUIRES: three times kStream bytes readable at p.
template <size_t kStream>
uint64_t extend_three_streams(const ShiftTable& table, uint64_t crc, const uint8_t* p) {
  uint64_t second = 0;
  uint64_t third = 0;
  for (size_t i = 0; i < kStream; i += 8) {
    crc = _mm_crc32_u64(crc, load_word(p + i));
    second = _mm_crc32_u64(second, load_word(p + kStream + i));
    third = _mm_crc32_u64(third, load_word(p + 2 * kStream + i));
  }
  crc = shift(table, crc) ^ second;
  return shift(table, crc) ^ third;
}

uint32_t extend(uint32_t initial, const uint8_t* p, size_t size) {
  uint64_t crc = initial;
  for (; size >= 3 * kLongStream; p += 3 * kLongStream, size -= 3 * kLongStream) {
    crc = extend_three_streams<kLongStream>(kLongShift, crc, p);
  }
  for (; size >= 3 * kShortStream; p += 3 * kShortStream, size -= 3 * kShortStream) {
    crc = extend_three_streams<kShortStream>(kShortShift, crc, p);
  }
  for (; size >= 8; p += 8, size -= 8) crc = _mm_crc32_u64(crc, load_word(p));
  auto narrow = static_cast<uint32_t>(crc);
  for (; size > 0; --size) narrow = _mm_crc32_u8(narrow, *p++);
  return narrow;
}

#else

uint32_t extend(uint32_t crc, const uint8_t* p, size_t size) {
  return extend_with_tables(crc, p, size);
}

#endif

}  // namespace

uint32_t crc32c_extend(uint32_t crc, ByteView bytes) {
  return ~extend(~crc, bytes.data(), bytes.size());
}

uint32_t crc32c(ByteView bytes) { return crc32c_extend(0, bytes); }

uint32_t crc32c_portable(ByteView bytes) {
  return ~extend_with_tables(~0U, bytes.data(), bytes.size());
}

}  // namespace barnabas
