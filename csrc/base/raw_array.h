// A growing array of plain values whose new elements are not written before their owner writes
// them: for what is filled by the million, where a vector's zeros cost as much as the content.
//
// Ownership: owns its elements; move-only. Thread-safety: as a vector.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <new>
#include <type_traits>
#include <utility>

namespace barnabas {

template <class T>
class RawArray {
  static_assert(std::is_trivially_copyable_v<T> && std::is_trivially_destructible_v<T>);

 public:
  RawArray() = default;
  RawArray(RawArray&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)),
        size_(std::exchange(other.size_, 0)),
        capacity_(std::exchange(other.capacity_, 0)) {}
  RawArray& operator=(RawArray&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(capacity_, other.capacity_);
    return *this;
  }
  RawArray(const RawArray&) = delete;
  RawArray& operator=(const RawArray&) = delete;
  ~RawArray() { std::free(data_); }

  [[nodiscard]] T* data() { return data_; }
  [[nodiscard]] const T* data() const { return data_; }
  [[nodiscard]] size_t size() const { return size_; }
  [[nodiscard]] bool empty() const { return size_ == 0; }
  [[nodiscard]] size_t capacity() const { return capacity_; }
  [[nodiscard]] T* begin() { return data_; }
  [[nodiscard]] T* end() { return data_ + size_; }
  [[nodiscard]] const T* begin() const { return data_; }
  [[nodiscard]] const T* end() const { return data_ + size_; }
  // REQUIRES: i < size()
  [[nodiscard]] T& operator[](size_t i) { return data_[i]; }
  [[nodiscard]] const T& operator[](size_t i) const { return data_[i]; }

  /// Keeps its memory.
  void clear() { size_ = 0; }
  /// New elements are whatever was there.
  void resize(size_t size) {
    reserve(size);
    size_ = size;
  }
  /// Room for `more` elements behind the last, which grows by doubling.
  void reserve_more(size_t more) {
    if (capacity_ - size_ < more) [[unlikely]]
      grow(std::max(size_ + more, 2 * capacity_));
  }
  void reserve(size_t capacity) {
    if (capacity > capacity_) [[unlikely]]
      grow(capacity);
  }
  void push_back(const T& value) {
    reserve_more(1);
    data_[size_++] = value;
  }
  /// Another element, which is whatever was there.
  T& append() {
    reserve_more(1);
    return data_[size_++];
  }
  /// As many more elements of `value`.
  void append(size_t count, const T& value) {
    reserve_more(count);
    std::fill_n(data_ + size_, count, value);
    size_ += count;
  }
  /// As many elements of `value`.
  void assign(size_t size, const T& value) {
    resize(size);
    std::fill_n(data_, size, value);
  }

 private:
  [[gnu::noinline]] void grow(size_t capacity) {
    void* const grown = std::realloc(data_, capacity * sizeof(T));
    if (grown == nullptr) throw std::bad_alloc();
    data_ = static_cast<T*>(grown);
    capacity_ = capacity;
  }

  T* data_ = nullptr;
  size_t size_ = 0;
  size_t capacity_ = 0;
};

}  // namespace barnabas
