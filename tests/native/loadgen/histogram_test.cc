// The layout of counts is the HdrHistogram library's own; tests/unit compares it value by value.
#include "loadgen/histogram.h"

#include <gtest/gtest.h>

#include <numeric>

namespace barnabas::loadgen {
namespace {

int64_t total(const Histogram& histogram) {
  return std::accumulate(histogram.counts().begin(), histogram.counts().end(), int64_t{0});
}

TEST(HistogramTest, SmallValuesHaveACountEach) {
  for (int64_t value = 0; value < 2048; ++value) {
    EXPECT_EQ(Histogram::index_of(value), static_cast<size_t>(value));
  }
}

TEST(HistogramTest, EachPowerOfTwoHas1024Counts) {
  EXPECT_EQ(Histogram::index_of(2048), 2048U);
  EXPECT_EQ(Histogram::index_of(2049), 2048U);
  EXPECT_EQ(Histogram::index_of(2050), 2049U);
  EXPECT_EQ(Histogram::index_of(4095), 3071U);
  EXPECT_EQ(Histogram::index_of(4096), 3072U);
  EXPECT_EQ(Histogram::index_of(4099), 3072U);
  EXPECT_EQ(Histogram::index_of(8192), 4096U);
  EXPECT_EQ(Histogram::index_of(kHistogramHighest), 33420U);
  EXPECT_EQ(Histogram().counts().size(), 33792U);
}

TEST(HistogramTest, WhatIsOutOfRangeIsCountedAtItsEnds) {
  Histogram histogram;
  histogram.record(-5);
  histogram.record(INT64_MAX, 3);
  EXPECT_EQ(histogram.counts()[0], 1);
  EXPECT_EQ(histogram.counts()[Histogram::index_of(kHistogramHighest)], 3);
  EXPECT_EQ(total(histogram), 4);
}

TEST(HistogramTest, AddsAndClears) {
  Histogram one;
  Histogram other;
  one.record(1000, 2);
  other.record(1000);
  other.record(1'000'000);
  one.add(other);
  one.add(Histogram());
  EXPECT_EQ(one.counts()[1000], 3);
  EXPECT_EQ(total(one), 4);
  one.clear();
  EXPECT_TRUE(one.empty());
  EXPECT_EQ(total(one), 0);
}

}  // namespace
}  // namespace barnabas::loadgen
