// A column of byte strings in Arrow's BinaryView layout, so that it can be handed over as it is.
//
// Ownership: views of more than 12 bytes refer to buffers that the column does not know.
// Thread-safety: belongs to one thread until it is complete.
#pragma once

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
      std::memcpy(reinterpret_cast<uint8_t*>(&view) + sizeof(int32_t), p,
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
