// A column of byte strings as a caller has it, read in place: bytes objects, fixed-width arrays,
// Arrow's layouts.
//
// Ownership: borrows; what it points into outlives it. Thread-safety: immutable while it is read.
#pragma once

#include <cstdint>
#include <cstring>
#include <optional>
#include <vector>

#include "base/bytes.h"
#include "record/binary_column.h"

namespace barnabas::embedded {

class ByteColumn {
 public:
  enum class Layout : uint8_t {
    kAllNull,
    kParts,      // one view each
    kFixed,      // `width` bytes each
    kPadded,     // the same, without the zero bytes at the end (numpy's S)
    kOffsets32,  // offsets of size + 1 entries into the data
    kOffsets64,
    kViews,  // Arrow's BinaryView into `buffers`
  };

  [[nodiscard]] size_t size() const { return size_; }

  /// Absent for a null. REQUIRES: i < size()
  [[nodiscard]] std::optional<ByteView> at(size_t i) const {
    i += first_;
    if (validity_ != nullptr && (validity_[i / 8] >> (i % 8) & 1) == 0) return std::nullopt;
    switch (layout_) {
      case Layout::kAllNull:
        return std::nullopt;
      case Layout::kParts:
        if (parts_[i].data() == nullptr) return std::nullopt;
        return parts_[i];
      case Layout::kFixed:
        return ByteView(data_ + i * width_, width_);
      case Layout::kPadded: {
        size_t length = width_;
        const uint8_t* const p = data_ + i * width_;
        while (length > 0 && p[length - 1] == 0) --length;
        return ByteView(p, length);
      }
      case Layout::kOffsets32:
        return between(offsets32_[i], offsets32_[i + 1]);
      case Layout::kOffsets64:
        return between(offsets64_[i], offsets64_[i + 1]);
      case Layout::kViews:
        return ByteView(views_[i].data(buffers_), static_cast<size_t>(views_[i].length));
    }
    return std::nullopt;
  }

  /// What is wrong with offsets or views, which would have at() read elsewhere; nullptr: nothing.
  [[nodiscard]] const char* check() const;

  static ByteColumn nulls(size_t size);
  /// Of kParts: a null is a part without data; an empty string points somewhere.
  static ByteColumn of_parts(std::vector<ByteView> parts);
  static ByteColumn of_fixed(const uint8_t* data, size_t width, size_t size, bool padded);
  /// `first`: where the column begins in its offsets and bitmap (Arrow's slices). `validity` may be
  /// null. `offsets` of int64 when `wide`.
  static ByteColumn of_offsets(const void* offsets, bool wide, ByteView data, size_t first,
                               size_t size, const uint8_t* validity);
  static ByteColumn of_views(const record::BinaryView* views, std::vector<ByteView> buffers,
                             size_t first, size_t size, const uint8_t* validity);
  void set_validity(const uint8_t* validity, size_t first) {
    validity_ = validity;
    first_ = first;
  }

 private:
  [[nodiscard]] ByteView between(int64_t begin, int64_t end) const {
    return {data_ + begin, static_cast<size_t>(end - begin)};
  }
  template <class Offset>
  const char* check_offsets(const Offset* offsets) const;
  [[nodiscard]] const char* check_views() const;

  Layout layout_ = Layout::kAllNull;
  size_t size_ = 0;
  size_t first_ = 0;
  const uint8_t* validity_ = nullptr;
  const uint8_t* data_ = nullptr;
  size_t data_size_ = 0;
  size_t width_ = 0;
  const int32_t* offsets32_ = nullptr;
  const int64_t* offsets64_ = nullptr;
  const record::BinaryView* views_ = nullptr;
  std::vector<ByteView> parts_;
  std::vector<ByteView> buffers_;
};

}  // namespace barnabas::embedded
