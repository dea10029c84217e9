// Which keys records have, and so which partitions they go to: drawn evenly or by Zipf's law, and
// spread over partitions by the hash that Kafka's own producers use.
//
// Thread-safety: immutable once made.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "loadgen/plan.h"
#include "loadgen/random.h"

namespace barnabas::loadgen {

inline constexpr double kZipfExponent = 0.99;  // the k-th most frequent key: weight 1 / k^0.99

/// The name of key number `index`.
[[nodiscard]] std::string key_name(int32_t index);

class Keys {
 public:
  /// REQUIRES: count > 0, partitions > 0
  Keys(KeyDistribution distribution, int32_t count, int32_t partitions);

  /// The part of all records that goes to `partition`: 0 when no key hashes to it.
  [[nodiscard]] double weight(int32_t partition) const;
  /// One of the keys of `partition`. REQUIRES: weight(partition) > 0
  [[nodiscard]] int32_t draw(int32_t partition, Random& random) const;

 private:
  struct Partition {
    std::vector<int32_t> keys;
    std::vector<double> sums;  // of the weights up to and with each key
  };
  std::vector<Partition> partitions_;
};

}  // namespace barnabas::loadgen
