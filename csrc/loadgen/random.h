// Small, fast, seeded random numbers: a load is the same in every run.
//
// Thread-safety: belongs to one thread.
#pragma once

#include <cstdint>

namespace barnabas::loadgen {

class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15ULL + 1) {}

  uint64_t next() {
    state_ += 0x9E3779B97F4A7C15ULL;  // Weyl sequence, then a mix of its bits (SplitMix64)
    uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
    return z ^ (z >> 31);
  }

  /// In [0, 1).
  double next_double() { return static_cast<double>(next() >> 11) * 0x1.0p-53; }

 private:
  uint64_t state_;
};

}  // namespace barnabas::loadgen
