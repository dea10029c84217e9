// A column of byte strings in Arrow's BinaryView layout, so that it can be handed over as it is.
//
// Ownership: views of more than 12 bytes refer to buffers that the column does not know.
// Thread-safety: belongs to one thread until it is complete.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <vector>

#include "base/bytes.h"
#include "base/raw_array.h"

namespace barnabas::record {

/// One byte string. Up to kInlineBytes lie in the view itself, from `head` on; of a longer one
/// `head` has the first four, and the whole lies at `offset` of buffer number `buffer`.
struct BinaryView {
  static constexpr int32_t kInlineBytes = 12;

  int32_t length = 0;
  uint8_t head[4] = {};
  int32_t buffer = 0;
  int32_t offset = 0;

  [[nodiscard]] const uint8_t* data(const std::vector<ByteView>& buffers) const {
    return length <= kInlineBytes ? head : buffers[static_cast<size_t>(buffer)].data() + offset;
  }
};
static_assert(sizeof(BinaryView) == 16);

/// Makes the views of strings that are as long as one another, without a look at the length.
class ViewStamp {
 public:
  /// Of each string, however short it is.
  static constexpr size_t kReadBytes = BinaryView::kInlineBytes;

  // REQUIRES: length >= 0
  ViewStamp(int32_t length, int32_t buffer)
      : length_(static_cast<uint32_t>(length)), buffer_(static_cast<uint32_t>(buffer)) {
    is_inline_ = length <= BinaryView::kInlineBytes;
    if (!is_inline_) return;
    std::array<uint8_t, kReadBytes> mask{};
    std::memset(mask.data(), 0xff, static_cast<size_t>(length));
    std::memcpy(&head_mask_, mask.data(), sizeof head_mask_);
    std::memcpy(&rest_mask_, mask.data() + sizeof head_mask_, sizeof rest_mask_);
  }

  /// The view of the string at `p`, which is `offset` of the buffer. REQUIRES: kReadBytes at `p`
  void stamp(BinaryView* view, const uint8_t* p, uint32_t offset) const {
    uint32_t head = 0;
    uint64_t rest = 0;
    std::memcpy(&head, p, sizeof head);
    if (is_inline_) {
      std::memcpy(&rest, p + sizeof head, sizeof rest);
      rest &= rest_mask_;
    } else {
      rest = buffer_ | uint64_t{offset} << 32;
    }
    const uint64_t first = length_ | uint64_t{head & head_mask_} << 32;
    auto* const bytes = reinterpret_cast<uint8_t*>(view);
    std::memcpy(bytes, &first, sizeof first);
    std::memcpy(bytes + sizeof first, &rest, sizeof rest);
  }

 private:
  uint64_t length_;
  uint64_t buffer_;
  uint64_t rest_mask_ = 0;
  uint32_t head_mask_ = UINT32_MAX;
  bool is_inline_;
};

class BinaryColumn {
 public:
  [[nodiscard]] size_t size() const { return size_; }
  /// Then there are no views.
  [[nodiscard]] bool all_null() const { return null_count_ == size_; }
  [[nodiscard]] size_t null_count() const { return null_count_; }
  [[nodiscard]] bool is_null(size_t i) const {
    if (null_count_ == 0) return false;
    return all_null() || (validity_[i / 8] >> (i % 8) & 1) == 0;
  }
  // REQUIRES for these two: !all_null()
  [[nodiscard]] const RawArray<BinaryView>& views() const { return views_; }
  /// Arrow's bitmap, least significant bit first: 1 where there is a value. Empty when all have
  /// one.
  [[nodiscard]] const std::vector<uint8_t>& validity() const { return validity_; }

  /// Keeps its memory.
  void clear() {
    views_.clear();
    validity_.clear();
    size_ = null_count_ = 0;
  }
  void reserve_values(size_t more) { views_.reserve_more(more); }
  [[nodiscard]] size_t capacity_bytes() const {
    return views_.capacity() * sizeof(BinaryView) + validity_.capacity();
  }

  void push_null() {
    if (!views_.empty()) {
      if (validity_.empty()) mark_all_valid();
      if (size_ % 8 == 0) validity_.push_back(0);
      views_.push_back({});
    }
    ++null_count_;
    ++size_;
  }
  void push_nulls(size_t count) {
    if (!views_.empty() && count != 0) {
      if (validity_.empty()) mark_all_valid();
      validity_.resize((size_ + count + 7) / 8);
      views_.append(count, {});
    }
    null_count_ += count;
    size_ += count;
  }

  /// Where as many views may be written, to be taken in by push_written().
  [[nodiscard]] BinaryView* room(size_t count) {
    if (views_.size() != size_) fill_with_nulls();
    views_.reserve_more(count);
    return views_.end();
  }
  void push_written(size_t count) {
    views_.resize(size_ + count);
    if (!validity_.empty()) {
      validity_.resize((size_ + count + 7) / 8);
      for (size_t i = size_; i < size_ + count; ++i) validity_[i / 8] |= uint8_t(1U << (i % 8));
    }
    size_ += count;
  }

  /// A string that lies at `offset` of buffer number `buffer`.
  void push(const uint8_t* p, int32_t length, int32_t buffer, int32_t offset) {
    if (views_.size() != size_) fill_with_nulls();
    // Field by field where it is to lie: to make one and copy it would have the processor wait for
    // its own stores.
    BinaryView& view = views_.append();
    view.length = length;
    if (length <= BinaryView::kInlineBytes) {
      view.buffer = view.offset = 0;
      std::memset(view.head, 0, sizeof view.head);
      // From `head` to the end of the view: one object's bytes.
      copy_short(reinterpret_cast<uint8_t*>(&view) + sizeof(int32_t), p,
                 static_cast<size_t>(length));
    } else {
      std::memcpy(view.head, p, sizeof(view.head));
      view.buffer = buffer;
      view.offset = offset;
    }
    if (!validity_.empty()) {
      if (size_ % 8 == 0) validity_.push_back(0);
      validity_.back() |= static_cast<uint8_t>(1 << (size_ % 8));
    }
    ++size_;
  }

 private:
  /// Up to kInlineBytes, in pieces that may overlap: compilers make a loop over bytes of a memcpy.
  static void copy_short(uint8_t* to, const uint8_t* from, size_t bytes) {
    if (bytes >= 8) {
      std::memcpy(to, from, 8);
      std::memcpy(to + bytes - 4, from + bytes - 4, 4);
    } else if (bytes >= 4) {
      std::memcpy(to, from, 4);
      std::memcpy(to + bytes - 4, from + bytes - 4, 4);
    } else if (bytes != 0) {
      to[0] = from[0];
      to[bytes / 2] = from[bytes / 2];
      to[bytes - 1] = from[bytes - 1];
    }
  }
  /// Before the first null after values.
  void mark_all_valid() {
    validity_.assign((size_ + 7) / 8, 0xff);
    if (size_ % 8 != 0) validity_.back() = static_cast<uint8_t>((1 << (size_ % 8)) - 1);
  }
  /// Before the first value after nothing but nulls.
  void fill_with_nulls() {
    views_.assign(size_, {});
    validity_.assign((size_ + 7) / 8, 0);
  }

  RawArray<BinaryView> views_;
  std::vector<uint8_t> validity_;
  size_t size_ = 0;
  size_t null_count_ = 0;
};

}  // namespace barnabas::record
