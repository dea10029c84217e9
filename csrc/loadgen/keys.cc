#include "loadgen/keys.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstdio>

#include "record/key_hash.h"

namespace barnabas::loadgen {

std::string key_name(int32_t index) {
  char text[16];
  const int length = std::snprintf(text, sizeof text, "key-%08d", static_cast<int>(index));
  return {text, static_cast<size_t>(length)};
}

Keys::Keys(KeyDistribution distribution, int32_t count, int32_t partitions)
    : partitions_(static_cast<size_t>(partitions)) {
  assert(count > 0 && partitions > 0);
  const double exponent = distribution == KeyDistribution::kZipf ? kZipfExponent : 0;
  double total = 0;
  for (int32_t index = 0; index < count; ++index) total += std::pow(index + 1, -exponent);
  for (int32_t index = 0; index < count; ++index) {
    const uint32_t hash = record::key_hash(as_bytes(key_name(index))) & 0x7fffffff;
    Partition& partition = partitions_[hash % static_cast<uint32_t>(partitions)];
    const double before = partition.sums.empty() ? 0 : partition.sums.back();
    partition.keys.push_back(index);
    partition.sums.push_back(before + std::pow(index + 1, -exponent) / total);
  }
}

double Keys::weight(int32_t partition) const {
  const auto& sums = partitions_[static_cast<size_t>(partition)].sums;
  return sums.empty() ? 0 : sums.back();
}

int32_t Keys::draw(int32_t partition, Random& random) const {
  const Partition& of = partitions_[static_cast<size_t>(partition)];
  const double at = random.next_double() * of.sums.back();
  const auto found = std::upper_bound(of.sums.begin(), of.sums.end(), at);
  const auto index = static_cast<size_t>(found - of.sums.begin());
  return of.keys[std::min(index, of.keys.size() - 1)];
}

}  // namespace barnabas::loadgen
