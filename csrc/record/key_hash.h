// Which partition a key goes to, as with Kafka's own producers.
//
// Thread-safety: pure functions.
#pragma once

#include <cstdint>
#include <cstring>

#include "base/bytes.h"

namespace barnabas::record {

/// Kafka's hash of a key: MurmurHash2 with Kafka's seed.
[[nodiscard]] inline uint32_t key_hash(ByteView key) {
  constexpr uint32_t kMultiplier = 0x5bd1e995;
  constexpr uint32_t kSeed = 0x9747b28c;
  uint32_t hash = kSeed ^ static_cast<uint32_t>(key.size());
  const size_t whole = key.size() & ~size_t{3};
  for (size_t at = 0; at < whole; at += 4) {
    uint32_t word = 0;
    std::memcpy(&word, key.data() + at, sizeof word);
    word *= kMultiplier;
    word ^= word >> 24;
    hash = (hash * kMultiplier) ^ (word * kMultiplier);
  }
  if (whole < key.size()) {
    uint32_t rest = 0;
    std::memcpy(&rest, key.data() + whole, key.size() - whole);
    hash = (hash ^ rest) * kMultiplier;
  }
  hash ^= hash >> 13;
  hash *= kMultiplier;
  return hash ^ (hash >> 15);
}

/// The partition of a key. REQUIRES: partitions > 0
[[nodiscard]] inline int32_t partition_of_key(ByteView key, int32_t partitions) {
  return static_cast<int32_t>((key_hash(key) & 0x7fffffff) % static_cast<uint32_t>(partitions));
}

}  // namespace barnabas::record
