// Counts of latencies in HdrHistogram's own bucket layout (lowest value 1, three significant
// digits), so that the library can take the counts over as they are.
//
// Layout: values below 2048 have a count each; above, every power of two has 1024 counts of equal
// width, so that no value is off by more than a thousandth. Values are nanoseconds, up to an hour;
// what is longer is counted as an hour.
//
// Thread-safety: belongs to one thread.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <vector>

namespace barnabas::loadgen {

inline constexpr int64_t kHistogramHighest = int64_t{3600} * 1'000'000'000;  // ns

class Histogram {
 public:
  Histogram() : counts_(index_of(kHistogramHighest) / kHalf * kHalf + kHalf) {}

  /// Counts `count` values. A negative one is counted as zero.
  void record(int64_t value_ns, int64_t count = 1) {
    counts_[index_of(std::clamp<int64_t>(value_ns, 0, kHistogramHighest))] += count;
    is_empty_ = false;
  }

  void add(const Histogram& other) {
    if (other.is_empty_) return;
    for (size_t i = 0; i < counts_.size(); ++i) counts_[i] += other.counts_[i];
    is_empty_ = false;
  }

  void clear() {
    if (!is_empty_) std::fill(counts_.begin(), counts_.end(), 0);
    is_empty_ = true;
  }

  [[nodiscard]] const std::vector<int64_t>& counts() const { return counts_; }
  [[nodiscard]] bool empty() const { return is_empty_; }

  /// Where the library keeps the count of `value`. REQUIRES: 0 <= value <= kHistogramHighest
  [[nodiscard]] static size_t index_of(int64_t value) {
    const auto bits = static_cast<uint64_t>(value);
    const int bucket = std::bit_width(bits | (2 * kHalf - 1)) - (kHalfBits + 1);
    return (static_cast<size_t>(bucket) << kHalfBits) + static_cast<size_t>(bits >> bucket);
  }

 private:
  static constexpr int kHalfBits = 10;  // 2 * 10^3 values of single-unit resolution, rounded up
  static constexpr size_t kHalf = size_t{1} << kHalfBits;

  std::vector<int64_t> counts_;
  bool is_empty_ = true;
};

}  // namespace barnabas::loadgen
