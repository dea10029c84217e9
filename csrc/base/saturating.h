// Sums of times that are beyond what there is: Kafka's way to say `never` is 2^63-1 ms.
#pragma once

#include <cstdint>

namespace barnabas {

/// Stops at the largest there is. REQUIRES: b >= 0
[[nodiscard]] constexpr int64_t saturating_add(int64_t a, int64_t b) {
  return a > INT64_MAX - b ? INT64_MAX : a + b;
}

/// As Java adds: validation lets batches through whose timestamps wrap around.
[[nodiscard]] constexpr int64_t wrapping_add(int64_t a, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
}

}  // namespace barnabas
