// Records of one batch are often as long as one another, and so are their keys and values: then the
// next one can be taken apart by comparing it with what the last one looked like, all its lengths
// at once, in the place of reading one varint after the other.
//
// Thread-safety: belongs to one thread.
#pragma once

#include <cstdint>
#include <cstring>

#include "record/record_parser.h"

namespace barnabas::record {

class RecordShape {
 public:
  /// Parses the record at `p`, and moves `p` behind it, if it has the lengths of the one learned,
  /// and no headers. Otherwise false, and nothing is known about it.
  [[nodiscard]] bool parse(const uint8_t*& p, const uint8_t* end, RecordFields& out) const {
    // Whatever the record, every load below is within these bytes.
    if (static_cast<size_t>(end - p) < readable_bytes_) return false;
    const uint64_t wrong = head_[0].difference(p) | head_[1].difference(p + kWordBytes) |
                           tail_.difference(p + tail_at_);
    if ((wrong | p[record_bytes_ - 1]) != 0) return false;  // the last byte counts the headers
    out.timestamp_delta = zigzag_decode(read_groups(p + timestamp_at_, timestamp_mask_));
    out.offset_delta =
        static_cast<int32_t>(zigzag_decode(read_groups(p + offset_at_, offset_mask_)));
    out.key_length = key_length_;
    out.value_length = value_length_;
    out.header_count = 0;
    out.key = p + key_at_;
    out.value = p + value_at_;
    p += record_bytes_;
    out.headers = p;
    out.end = p;
    return true;
  }

  /// Notes what [p, record.end) looks like, which parse_record() has found well-formed. Looks
  /// closer once a second record is as long as the first: lengths that vary are not worth it.
  void learn(const uint8_t* p, const RecordFields& record) {
    const auto bytes = static_cast<size_t>(record.end - p);
    const bool again = bytes == last_bytes_;
    last_bytes_ = bytes;
    readable_bytes_ = SIZE_MAX;
    if (again && record.header_count == 0) look(p, record);
  }

 private:
  static constexpr size_t kWordBytes = 8;
  static constexpr size_t kHeadBytes = 2 * kWordBytes;
  static constexpr size_t kMaxTimestampBytes = kWordBytes;
  static constexpr size_t kMaxOffsetBytes = 4;  // any five bytes would not do: 32 bits end there

  static uint64_t load_word(const uint8_t* p) {
    uint64_t word = 0;
    std::memcpy(&word, p, sizeof word);
    return word;
  }

  /// The bits of a word that are to be what they were.
  struct Pattern {
    uint64_t expected = 0;
    uint64_t mask = 0;

    [[nodiscard]] uint64_t difference(const uint8_t* p) const {
      return (load_word(p) ^ expected) & mask;
    }
  };

  /// The value of the varint at `p`: `mask` has all its bits but those that continue it.
  static uint64_t read_groups(const uint8_t* p, uint64_t mask) {
    uint64_t x = load_word(p) & mask;
    x = (x & 0x007f007f007f007f) | ((x & 0x7f007f007f007f00) >> 1);
    x = (x & 0x00003fff00003fff) | ((x & 0x3fff00003fff0000) >> 2);
    return (x & 0x0fffffff) | ((x & 0x0fffffff00000000) >> 4);
  }

  void look(const uint8_t* p, const RecordFields& record);

  Pattern head_[2];                   // length, attributes, timestamp, offset, the key's length
  Pattern tail_;                      // the value's length
  size_t readable_bytes_ = SIZE_MAX;  // from the record's first byte on; SIZE_MAX: nothing learned
  size_t record_bytes_ = 0;
  size_t timestamp_at_ = 0;
  size_t offset_at_ = 0;
  size_t key_at_ = 0;
  size_t tail_at_ = 0;
  size_t value_at_ = 0;
  uint64_t timestamp_mask_ = 0;
  uint64_t offset_mask_ = 0;
  int32_t key_length_ = 0;
  int32_t value_length_ = 0;

  size_t last_bytes_ = 0;
};

}  // namespace barnabas::record
