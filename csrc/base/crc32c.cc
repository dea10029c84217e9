#include "base/crc32c.h"

#include <array>
#include <cstring>

#if defined(__SSE4_2__)  // the baseline of x86-64 builds has it, see CMakeLists.txt
#include <immintrin.h>
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

uint32_t extend_with_streams(uint32_t initial, const uint8_t* p, size_t size) {
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

// -- AVX-512 with VPCLMULQDQ: folding -------------------------------------------------------------
//
// Of a processor that has it, which is found out at run time. Sixteen lanes of 128 bits, each
// multiplied by a power of x modulo the polynomial, which moves it over the next 256 bytes, where
// it is added (Gopal et al., "Fast CRC Computation for Generic Polynomials Using PCLMULQDQ", Intel
// 2009). What is left has the checksum of all that went in.

constexpr size_t kLaneBytes = 64;  // of a register
constexpr size_t kFoldBytes = 4 * kLaneBytes;

// x^n modulo the polynomial, its coefficients in reflected order.
constexpr uint32_t power_of_x(size_t n) {
  uint32_t power = 1U << 31;
  for (; n > 0; --n) power = (power & 1) != 0 ? (power >> 1) ^ kReflectedPolynomial : power >> 1;
  return power;
}

// What moves the low and the high half of a lane over so many bytes.
template <size_t kBytes>
struct Fold {
  static constexpr uint64_t kLow = power_of_x(8 * kBytes + 31);
  static constexpr uint64_t kHigh = power_of_x(8 * kBytes - 33);
};

#define BARNABAS_FOLDS gnu::target("avx512f,avx512vl,vpclmulqdq")

template <size_t kBytes>
[[BARNABAS_FOLDS]] inline __m512i fold_factors() {
  return _mm512_set4_epi64(Fold<kBytes>::kHigh, Fold<kBytes>::kLow, Fold<kBytes>::kHigh,
                           Fold<kBytes>::kLow);
}

[[BARNABAS_FOLDS]] inline __m512i load_lanes(const uint8_t* p) { return _mm512_loadu_si512(p); }

[[BARNABAS_FOLDS]] inline __m512i fold(__m512i lanes, __m512i factors, __m512i next) {
  constexpr int kXorOfThree = 0x96;
  return _mm512_ternarylogic_epi64(_mm512_clmulepi64_epi128(lanes, factors, 0x00),
                                   _mm512_clmulepi64_epi128(lanes, factors, 0x11), next,
                                   kXorOfThree);
}

// REQUIRES: the processor folds, size >= kFoldBytes
[[BARNABAS_FOLDS]] uint32_t extend_with_folds(uint32_t initial, const uint8_t* p, size_t size) {
  __m512i first = load_lanes(p);  // four that do not wait for each other
  __m512i second = load_lanes(p + kLaneBytes);
  __m512i third = load_lanes(p + 2 * kLaneBytes);
  __m512i fourth = load_lanes(p + 3 * kLaneBytes);
  first =
      _mm512_xor_si512(first, _mm512_zextsi128_si512(_mm_cvtsi32_si128(static_cast<int>(initial))));
  p += kFoldBytes;
  size -= kFoldBytes;
  const __m512i over_all = fold_factors<kFoldBytes>();
  for (; size >= kFoldBytes; p += kFoldBytes, size -= kFoldBytes) {
    first = fold(first, over_all, load_lanes(p));
    second = fold(second, over_all, load_lanes(p + kLaneBytes));
    third = fold(third, over_all, load_lanes(p + 2 * kLaneBytes));
    fourth = fold(fourth, over_all, load_lanes(p + 3 * kLaneBytes));
  }
  const __m512i over_one = fold_factors<kLaneBytes>();
  const __m512i all = fold(fold(fold(first, over_one, second), over_one, third), over_one, fourth);
  alignas(kLaneBytes) uint8_t folded[kLaneBytes];
  _mm512_store_si512(folded, all);
  return extend_with_streams(extend_with_streams(0, folded, sizeof folded), p, size);
}

bool processor_folds() noexcept {
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("vpclmulqdq");
}

const bool kFolds = processor_folds();

uint32_t extend(uint32_t crc, const uint8_t* p, size_t size) {
  return kFolds && size >= kFoldBytes ? extend_with_folds(crc, p, size)
                                      : extend_with_streams(crc, p, size);
}

#else

uint32_t extend_with_streams(uint32_t crc, const uint8_t* p, size_t size) {
  return extend_with_tables(crc, p, size);
}

uint32_t extend(uint32_t crc, const uint8_t* p, size_t size) {
  return extend_with_tables(crc, p, size);
}

#endif

}  // namespace

uint32_t crc32c_extend(uint32_t crc, ByteView bytes) {
  return ~extend(~crc, bytes.data(), bytes.size());
}

uint32_t crc32c(ByteView bytes) { return crc32c_extend(0, bytes); }

uint32_t crc32c_by_streams(ByteView bytes) {
  return ~extend_with_streams(~0U, bytes.data(), bytes.size());
}

uint32_t crc32c_portable(ByteView bytes) {
  return ~extend_with_tables(~0U, bytes.data(), bytes.size());
}

}  // namespace barnabas
