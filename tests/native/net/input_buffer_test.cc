#include "net/input_buffer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

namespace barnabas::net {
namespace {

constexpr size_t kHugeFrameBytes = 100 << 20;

TEST(InputBuffer, KeepsTheOrderOfBytesOverAppendsAndConsumes) {
  BufferPool pool;
  InputBuffer buffer(pool);
  buffer.append(as_bytes("abcdef"));
  buffer.consume(2);
  buffer.append(as_bytes("ghi"));
  EXPECT_EQ(as_text(buffer.bytes()), "cdefghi");
  const MutableBytes room = buffer.room(1);
  room[0] = 'j';
  buffer.commit(1);
  EXPECT_EQ(as_text(buffer.bytes()), "cdefghij");
}

TEST(InputBuffer, AnEmptyBufferHoldsNoMemory) {
  BufferPool pool;
  InputBuffer buffer(pool);
  EXPECT_EQ(buffer.capacity(), 0U);
  buffer.append(as_bytes("abc"));
  buffer.consume(3);
  EXPECT_TRUE(buffer.empty());
  EXPECT_EQ(buffer.capacity(), 0U);
}

TEST(InputBuffer, GrowsWithWhatArrivesNotWithWhatIsClaimed) {
  BufferPool pool;
  InputBuffer buffer(pool);
  size_t received = 0;
  while (received < (1 << 20)) {
    const MutableBytes room = buffer.room(kHugeFrameBytes - received);
    const size_t arrived = std::min<size_t>(room.size(), 1000);
    std::fill_n(room.begin(), arrived, uint8_t{7});
    buffer.commit(arrived);
    received += arrived;
    ASSERT_LE(buffer.capacity(), std::max<size_t>(4096, 2 * received + 4096));
  }
}

TEST(InputBuffer, ALargeBlockIsUsedAgainByTheNextFrame) {
  BufferPool pool;
  const std::vector<uint8_t> frame(1 << 20, 9);
  InputBuffer first(pool);
  first.append(frame);
  const uint8_t* const block = first.bytes().data();
  first.consume(frame.size());
  EXPECT_GE(pool.pooled_bytes(), frame.size());

  InputBuffer second(pool);
  second.append(as_bytes("start"));
  const MutableBytes room = second.room(frame.size() - 5);
  EXPECT_EQ(room.size(), frame.size() - 5) << "the whole frame fits without growing";
  EXPECT_EQ(second.bytes().data(), block);
  EXPECT_EQ(as_text(second.bytes()), "start");
}

TEST(InputBuffer, ThePoolNeverKeepsMoreThanItsLimit) {
  BufferPool pool;
  for (int i = 0; i < 4; ++i) {
    InputBuffer large(pool);
    InputBuffer other(pool);
    large.append(std::vector<uint8_t>(BufferPool::kMaxPooledBytes / 3));
    other.append(std::vector<uint8_t>(BufferPool::kMaxPooledBytes + 1));
  }
  EXPECT_LE(pool.pooled_bytes(), BufferPool::kMaxPooledBytes);
}

}  // namespace
}  // namespace barnabas::net
