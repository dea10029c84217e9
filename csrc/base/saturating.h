// Sums of times that stop at the largest there is: Kafka's way to say `never` is 2^63-1 ms.
#pragma once

#include <cstdint>

namespace barnabas {

/// REQUIRES: b >= 0
[[nodiscard]] constexpr int64_t saturating_add(int64_t a, int64_t b) {
  return a > INT64_MAX - b ? INT64_MAX : a + b;
}

}  // namespace barnabas
