#include "record/record_shape.h"

#include <algorithm>
#include <array>

#include "record/binary_column.h"

namespace barnabas::record {
namespace {

size_t varint_bytes(const uint8_t* p) {
  size_t bytes = 1;
  while (*p++ >= 0x80) ++bytes;
  return bytes;
}

}  // namespace

void RecordShape::look(const uint8_t* p, const RecordFields& record) {
  const size_t length_bytes = varint_bytes(p);
  const size_t timestamp_at = length_bytes + 1;
  const size_t timestamp_bytes = varint_bytes(p + timestamp_at);
  const size_t offset_at = timestamp_at + timestamp_bytes;
  const size_t offset_bytes = varint_bytes(p + offset_at);
  const auto key_at = static_cast<size_t>(record.key - p);
  const size_t tail_at = key_at + static_cast<size_t>(std::max(record.key_length, 0));
  const auto value_at = static_cast<size_t>(record.value - p);
  const size_t value_end = value_at + static_cast<size_t>(std::max(record.value_length, 0));
  const auto record_bytes = static_cast<size_t>(record.end - p);
  if (key_at > kHeadBytes || timestamp_bytes > kMaxTimestampBytes ||
      offset_bytes > kMaxOffsetBytes || value_end + 1 != record_bytes) {
    return;
  }

  // Lengths are to be the same whole; timestamp and offset are to end where they ended.
  std::array<uint8_t, kHeadBytes> bytes{};
  std::memcpy(bytes.data(), p, key_at);
  std::array<uint8_t, kHeadBytes> same{};
  std::memset(same.data(), 0xff, key_at);
  same[length_bytes] = 0;  // attributes: parse_body() ignores them, too
  std::memset(same.data() + timestamp_at, 0x80, timestamp_bytes + offset_bytes);
  head_[0] = {load_word(bytes.data()), load_word(same.data())};
  head_[1] = {load_word(bytes.data() + kWordBytes), load_word(same.data() + kWordBytes)};
  const size_t tail_bytes = value_at - tail_at;  // a varint of 32 bits: 1 to 5
  std::array<uint8_t, kWordBytes> tail{};
  std::memcpy(tail.data(), p + tail_at, tail_bytes);
  tail_ = {load_word(tail.data()), UINT64_MAX >> (8 * (kWordBytes - tail_bytes))};

  timestamp_at_ = timestamp_at;
  offset_at_ = offset_at;
  key_at_ = key_at;
  tail_at_ = tail_at;
  value_at_ = value_at;
  constexpr uint64_t kValueBits = 0x7f7f7f7f7f7f7f7f;
  timestamp_mask_ = kValueBits >> (8 * (kWordBytes - timestamp_bytes));
  offset_mask_ = static_cast<uint32_t>(kValueBits >> (8 * (kWordBytes - offset_bytes)));
  key_length_ = record.key_length;
  value_length_ = record.value_length;
  record_bytes_ = record_bytes;
  // A word begins in the head, or at the tail; a view is read as if it had all its bytes.
  readable_bytes_ = std::max({record_bytes, kHeadBytes + kWordBytes, tail_at + kWordBytes,
                              value_at + ViewStamp::kReadBytes});
}

}  // namespace barnabas::record
