#include "storage/topic_partition.h"

#include <gtest/gtest.h>

namespace barnabas::storage {
namespace {

TEST(TopicPartitionTest, DirectoryNamesAreReadBack) {
  const auto parsed = TopicPartition::parse("a-b-12");
  ASSERT_TRUE(parsed.has_value());
  EXPECT_EQ(parsed->topic, "a-b");
  EXPECT_EQ(parsed->partition, 12);
  EXPECT_EQ(parsed->to_string(), "a-b-12");
  for (const char* name : {"", "a", "-1", "a-", "a-b", "a-1x", "a-99999999999"}) {
    EXPECT_FALSE(TopicPartition::parse(name).has_value()) << name;
  }
}

TEST(TopicPartitionTest, NamesOnTheirWayOutFitAFileNameAndAreNoPartitions) {
  const TopicPartition longest{std::string(249, 't'), 99'999};
  const std::string doomed = unique_name(longest, kDeleteSuffix);
  EXPECT_EQ(doomed.size(), 255u);
  EXPECT_TRUE(doomed.ends_with("-delete"));
  EXPECT_FALSE(TopicPartition::parse(doomed).has_value());
  EXPECT_NE(doomed, unique_name(longest, kDeleteSuffix));
  const std::string stray = unique_name({"t", 0}, kStraySuffix);
  EXPECT_TRUE(stray.starts_with("t-0."));
  EXPECT_TRUE(stray.ends_with("-stray"));
}

TEST(TopicPartitionTest, TheNameOfACopyTellsItsPartition) {
  const TopicPartition partition{"a.b-c", 7};
  EXPECT_EQ(parse_unique_name(unique_name(partition, kFutureSuffix), kFutureSuffix), partition);
  for (const char* name : {"t-0", "t-0-future", "t-0.1234-future", "-future"}) {
    EXPECT_FALSE(parse_unique_name(name, kFutureSuffix).has_value()) << name;
  }
  EXPECT_FALSE(parse_unique_name(unique_name(partition, kDeleteSuffix), kFutureSuffix).has_value());
  EXPECT_FALSE(is_cut_in_unique_name({std::string(213, 't'), 0}, kFutureSuffix));
  EXPECT_TRUE(is_cut_in_unique_name({std::string(214, 't'), 0}, kFutureSuffix));
}

}  // namespace
}  // namespace barnabas::storage
