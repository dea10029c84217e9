// The map of keys to offsets that compaction goes by.
#include "storage/offset_map.h"

#include <gtest/gtest.h>

#include <string>

namespace barnabas::storage {
namespace {

TEST(OffsetMapTest, FindsTheLastOffsetOfEachKey) {
  OffsetMap map(64 << 20, 0.9);
  EXPECT_EQ(map.get(as_bytes("nothing")), -1);
  for (int round = 0; round < 2; ++round) {
    for (int i = 0; i < 100'000; ++i) {
      ASSERT_TRUE(map.put(as_bytes("key-" + std::to_string(i)), i + round * 1'000'000));
    }
  }
  EXPECT_EQ(map.size(), 100'000u);
  for (int i = 0; i < 100'000; ++i) {
    ASSERT_EQ(map.get(as_bytes("key-" + std::to_string(i))), i + 1'000'000);
  }
  EXPECT_EQ(map.get(as_bytes("key-100000")), -1);
  ASSERT_TRUE(map.put(ByteView(), 5));
  EXPECT_EQ(map.get(ByteView()), 5);
}

TEST(OffsetMapTest, MemoryFollowsTheKeysAndKeepsItsLimit) {
  constexpr size_t kLimit = 4 << 20;
  OffsetMap map(kLimit, 0.9);
  EXPECT_EQ(map.memory_bytes(), 0u);
  ASSERT_TRUE(map.put(as_bytes("one"), 1));
  EXPECT_LE(map.memory_bytes(), 4096u);
  int keys = 1;
  while (map.put(as_bytes(std::to_string(keys)), keys)) ++keys;
  EXPECT_LE(map.memory_bytes(), kLimit);
  // One part is full before the others: nearly all of 24 bytes an entry at nine tenths.
  EXPECT_GT(keys, static_cast<int>(kLimit / 24 * 0.9 * 0.93));
  for (int i = 1; i < keys; ++i) ASSERT_EQ(map.get(as_bytes(std::to_string(i))), i);
  ASSERT_TRUE(map.put(as_bytes("one"), 7));  // a key that is known needs no room
  EXPECT_EQ(map.get(as_bytes("one")), 7);
}

}  // namespace
}  // namespace barnabas::storage
