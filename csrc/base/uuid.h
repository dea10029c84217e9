// A topic id: 16 bytes, printed as Kafka prints it (URL-safe base64 without padding).
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace barnabas {

struct Uuid {
  std::array<uint8_t, 16> bytes{};

  [[nodiscard]] bool is_zero() const { return *this == Uuid{}; }
  friend bool operator==(const Uuid&, const Uuid&) = default;

  [[nodiscard]] std::string to_string() const;
  /// nullopt when `text` is not 22 characters of URL-safe base64.
  static std::optional<Uuid> parse(std::string_view text);
  /// Of the system's random numbers.
  static Uuid random();
};

}  // namespace barnabas

template <>
struct std::hash<barnabas::Uuid> {
  size_t operator()(const barnabas::Uuid& id) const noexcept {
    uint64_t halves[2];
    std::memcpy(halves, id.bytes.data(), sizeof halves);
    return halves[0] ^ (halves[1] * 0x9e3779b97f4a7c15ULL);
  }
};
