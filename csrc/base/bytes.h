// Byte views and big-endian loads and stores. Kafka's wire and disk formats are big-endian.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

namespace barnabas {

using ByteView = std::span<const uint8_t>;
using MutableBytes = std::span<uint8_t>;

template <class T>
[[nodiscard]] inline T byteswap(T value) {
  static_assert(sizeof(T) == 1 || sizeof(T) == 2 || sizeof(T) == 4 || sizeof(T) == 8);
  if constexpr (sizeof(T) == 1) return value;
  if constexpr (sizeof(T) == 2)
    return static_cast<T>(__builtin_bswap16(static_cast<uint16_t>(value)));
  if constexpr (sizeof(T) == 4)
    return static_cast<T>(__builtin_bswap32(static_cast<uint32_t>(value)));
  if constexpr (sizeof(T) == 8)
    return static_cast<T>(__builtin_bswap64(static_cast<uint64_t>(value)));
}

static_assert(std::endian::native == std::endian::little, "big-endian hosts are not supported");

// REQUIRES: sizeof(T) bytes readable at p; no alignment needed.
template <class T>
[[nodiscard]] inline T load_be(const uint8_t* p) {
  T value;
  std::memcpy(&value, p, sizeof(T));
  return byteswap(value);
}

// REQUIRES: sizeof(T) bytes writable at p; no alignment needed.
template <class T>
inline void store_be(uint8_t* p, T value) {
  value = byteswap(value);
  std::memcpy(p, &value, sizeof(T));
}

[[nodiscard]] inline ByteView as_bytes(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

[[nodiscard]] inline std::string_view as_text(ByteView bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace barnabas
