// Variable-length integers of Kafka's protocol: unsigned LEB128 (compact lengths, tagged fields)
// and zig-zag signed ones (record fields).
#pragma once

#include <bit>
#include <cstdint>

namespace barnabas {

inline constexpr int kMaxVarint32Bytes = 5;
inline constexpr int kMaxVarint64Bytes = 10;

/// Decodes an unsigned varint from [p, end). Returns the byte after it, or nullptr when it is cut
/// off or longer than 32 bits allow.
[[nodiscard]] inline const uint8_t* read_uvarint(const uint8_t* p, const uint8_t* end,
                                                 uint32_t& out) {
  if (p < end && p[0] < 0x80) {
    out = p[0];
    return p + 1;
  }
  if (end - p >= 2 && p[1] < 0x80) {  // lengths of most records
    out = (p[0] & 0x7fU) | static_cast<uint32_t>(p[1]) << 7;
    return p + 2;
  }
  uint32_t value = 0;
  for (int shift = 0; shift < 35 && p < end; shift += 7) {
    const uint8_t byte = *p++;
    if (shift == 28 && byte > 0x0f) return nullptr;
    value |= static_cast<uint32_t>(byte & 0x7f) << shift;
    if (byte < 0x80) {
      out = value;
      return p;
    }
  }
  return nullptr;
}

/// As read_uvarint, for 64 bits.
[[nodiscard]] inline const uint8_t* read_uvarlong(const uint8_t* p, const uint8_t* end,
                                                  uint64_t& out) {
  if (p < end && p[0] < 0x80) {
    out = p[0];
    return p + 1;
  }
  if (end - p >= 2 && p[1] < 0x80) {
    out = (p[0] & 0x7fU) | static_cast<uint64_t>(p[1]) << 7;
    return p + 2;
  }
  uint64_t value = 0;
  for (int shift = 0; shift < 70 && p < end; shift += 7) {
    const uint8_t byte = *p++;
    if (shift == 63 && byte > 0x01) return nullptr;
    value |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if (byte < 0x80) {
      out = value;
      return p;
    }
  }
  return nullptr;
}

[[nodiscard]] inline int32_t zigzag_decode(uint32_t v) {
  return static_cast<int32_t>((v >> 1) ^ (~(v & 1) + 1));
}
[[nodiscard]] inline int64_t zigzag_decode(uint64_t v) {
  return static_cast<int64_t>((v >> 1) ^ (~(v & 1) + 1));
}
[[nodiscard]] inline uint32_t zigzag_encode(int32_t v) {
  return (static_cast<uint32_t>(v) << 1) ^ static_cast<uint32_t>(v >> 31);
}
[[nodiscard]] inline uint64_t zigzag_encode(int64_t v) {
  return (static_cast<uint64_t>(v) << 1) ^ static_cast<uint64_t>(v >> 63);
}

/// Signed (zig-zag) varint of 32 bits; nullptr when cut off or too long.
[[nodiscard]] inline const uint8_t* read_varint(const uint8_t* p, const uint8_t* end,
                                                int32_t& out) {
  uint32_t raw = 0;
  p = read_uvarint(p, end, raw);
  if (p != nullptr) out = zigzag_decode(raw);
  return p;
}

/// Signed (zig-zag) varint of 64 bits; nullptr when cut off or too long.
[[nodiscard]] inline const uint8_t* read_varlong(const uint8_t* p, const uint8_t* end,
                                                 int64_t& out) {
  uint64_t raw = 0;
  p = read_uvarlong(p, end, raw);
  if (p != nullptr) out = zigzag_decode(raw);
  return p;
}

/// Writes an unsigned varint. REQUIRES: kMaxVarint64Bytes writable at p. Returns the byte after it.
[[nodiscard]] inline uint8_t* write_uvarint(uint8_t* p, uint64_t value) {
  while (value >= 0x80) {
    *p++ = static_cast<uint8_t>(value) | 0x80;
    value >>= 7;
  }
  *p++ = static_cast<uint8_t>(value);
  return p;
}

/// Bytes that write_uvarint takes for this value.
[[nodiscard]] inline int uvarint_size(uint64_t value) {
  return (std::bit_width(value | 1) + 6) / 7;
}

}  // namespace barnabas
