#include "embedded/byte_column.h"

#include <utility>

namespace barnabas::embedded {

ByteColumn ByteColumn::nulls(size_t size) {
  ByteColumn column;
  column.size_ = size;
  return column;
}

ByteColumn ByteColumn::of_parts(std::vector<ByteView> parts) {
  ByteColumn column;
  column.layout_ = Layout::kParts;
  column.size_ = parts.size();
  column.parts_ = std::move(parts);
  return column;
}

ByteColumn ByteColumn::of_fixed(const uint8_t* data, size_t width, size_t size, bool padded) {
  ByteColumn column;
  column.layout_ = padded ? Layout::kPadded : Layout::kFixed;
  column.data_ = data;
  column.width_ = width;
  column.size_ = size;
  return column;
}

ByteColumn ByteColumn::of_offsets(const void* offsets, bool wide, ByteView data, size_t first,
                                  size_t size, const uint8_t* validity) {
  ByteColumn column;
  column.layout_ = wide ? Layout::kOffsets64 : Layout::kOffsets32;
  if (wide) {
    column.offsets64_ = static_cast<const int64_t*>(offsets);
  } else {
    column.offsets32_ = static_cast<const int32_t*>(offsets);
  }
  column.data_ = data.data();
  column.data_size_ = data.size();
  column.size_ = size;
  column.set_validity(validity, first);
  return column;
}

ByteColumn ByteColumn::of_views(const record::BinaryView* views, std::vector<ByteView> buffers,
                                size_t first, size_t size, const uint8_t* validity) {
  ByteColumn column;
  column.layout_ = Layout::kViews;
  column.views_ = views;
  column.buffers_ = std::move(buffers);
  column.size_ = size;
  column.set_validity(validity, first);
  return column;
}

const char* ByteColumn::check() const {
  switch (layout_) {
    case Layout::kOffsets32:
      return check_offsets(offsets32_);
    case Layout::kOffsets64:
      return check_offsets(offsets64_);
    case Layout::kViews:
      return check_views();
    default:
      return nullptr;
  }
}

template <class Offset>
const char* ByteColumn::check_offsets(const Offset* offsets) const {
  Offset before = 0;
  for (size_t i = first_; i <= first_ + size_; ++i) {
    if (offsets[i] < before) return "an offset is below the one before it";
    before = offsets[i];
  }
  return static_cast<size_t>(before) > data_size_ ? "an offset is beyond the end of the data"
                                                  : nullptr;
}

const char* ByteColumn::check_views() const {
  for (size_t i = first_; i < first_ + size_; ++i) {
    if (validity_ != nullptr && (validity_[i / 8] >> (i % 8) & 1) == 0) continue;
    const record::BinaryView& view = views_[i];
    if (view.length < 0) return "a view has a negative length";
    if (view.length <= record::BinaryView::kInlineBytes) continue;
    if (view.buffer < 0 || static_cast<size_t>(view.buffer) >= buffers_.size() || view.offset < 0) {
      return "a view refers to no buffer";
    }
    const size_t end = static_cast<size_t>(view.offset) + static_cast<size_t>(view.length);
    if (end > buffers_[static_cast<size_t>(view.buffer)].size()) {
      return "a view reaches beyond the end of its buffer";
    }
  }
  return nullptr;
}

}  // namespace barnabas::embedded
