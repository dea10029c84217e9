// What a builder does with a batch that cannot be made.
#include "record/builder.h"

#include <gtest/gtest.h>

#include <optional>

namespace barnabas::record {
namespace {

TEST(BatchBuilderTest, a_batch_that_cannot_be_made_leaves_the_builder_empty) {
  BatchOptions options;
  options.codec = Codec::kGzip;
  options.level = 10;
  BatchBuilder builder(options);
  for (int i = 0; i < 3; ++i) {
    builder.append(1, std::nullopt, as_bytes("value"));
    EXPECT_EQ(builder.record_count(), 1) << "of the batch before nothing is left";
    EXPECT_FALSE(builder.seal().ok());
    EXPECT_EQ(builder.record_count(), 0);
    EXPECT_EQ(builder.size_bytes(), kBatchHeaderSize);
  }
}

}  // namespace
}  // namespace barnabas::record
