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
  /// Whether the record at `p` has the lengths of the one learned, and no headers.
  [[nodiscard]] bool fits(const uint8_t* p, const uint8_t* end) const {
    // Whatever the record, what is read here and below is within these bytes.
    if (static_cast<size_t>(end - p) < readable_bytes_) return false;
    const uint64_t wrong = head_[0].difference(p) | head_[1].difference(p + kWordBytes) |
                           tail_.difference(p + tail_at_);
    return (wrong | p[record_bytes_ - 1]) == 0;  // the last byte counts the headers
  }

  // REQUIRES for all below: the record at `p` fits

  /// The timestamp as it lies there: equal for equal timestamps.
  [[nodiscard]] uint64_t timestamp_code(const uint8_t* p) const {
    return load_word(p + timestamp_at_) & timestamp_mask_;
  }
  [[nodiscard]] static int64_t timestamp_delta(uint64_t code) {
    code = (code & 0x007f007f007f007f) | ((code & 0x7f007f007f007f00) >> 1);
    code = (code & 0x00003fff00003fff) | ((code & 0x3fff00003fff0000) >> 2);
    return zigzag_decode((code & 0x0fffffff) | ((code & 0x0fffffff00000000) >> 4));
  }
  [[nodiscard]] int32_t offset_delta(const uint8_t* p) const {
    uint32_t code = 0;
    std::memcpy(&code, p + offset_at_, sizeof code);
    code &= offset_mask_;
    code = (code & 0x007f007f) | ((code & 0x7f007f00) >> 1);
    return zigzag_decode((code & 0x3fff) | ((code & 0x3fff0000) >> 2));
  }
  [[nodiscard]] size_t record_bytes() const { return record_bytes_; }
  /// -1: null, as for the value.
  [[nodiscard]] int32_t key_length() const { return key_length_; }
  [[nodiscard]] int32_t value_length() const { return value_length_; }
  /// From the record's first byte on. ViewStamp::kReadBytes can be read there, as for the value.
  [[nodiscard]] size_t key_at() const { return key_at_; }
  [[nodiscard]] size_t value_at() const { return value_at_; }

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
  // The bits of these varints but those that continue them.
  uint64_t timestamp_mask_ = 0;
  uint32_t offset_mask_ = 0;
  int32_t key_length_ = 0;
  int32_t value_length_ = 0;

  size_t last_bytes_ = 0;
};

}  // namespace barnabas::record
