// Reads the primitives of Kafka's protocol out of a request body, in the old and the flexible
// encoding (KIP-482). Borrows the bytes.
//
// After the first thing that does not fit, everything reads as zero or empty and ok() is false:
// a parser checks once, at its end. Array lengths are bounded by the bytes left, so that no count
// in a request can make anybody reserve more memory than the request itself took.
//
// Thread-safety: belongs to one thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/bytes.h"
#include "base/uuid.h"
#include "base/varint.h"

namespace barnabas::dataplane {

/// What one request may name, of topics and of partitions: far more than a broker can hold. A
/// request beyond it is ill-formed, so that a frame of the smallest possible elements cannot be
/// blown up to gigabytes of parsed ones.
inline constexpr size_t kMaxRequestElements = 200'000;

class RequestReader {
 public:
  RequestReader(MutableBytes body, bool flexible)
      : p_(body.data()), end_(body.data() + body.size()), flexible_(flexible) {}

  [[nodiscard]] bool ok() const { return ok_; }
  [[nodiscard]] size_t bytes_left() const { return static_cast<size_t>(end_ - p_); }

  template <class T>
  T read() {
    if (bytes_left() < sizeof(T)) return fail(T{});
    const T value = load_be<T>(p_);
    p_ += sizeof(T);
    return value;
  }

  Uuid read_uuid() {
    Uuid id;
    if (bytes_left() < id.bytes.size()) return fail(id);
    std::memcpy(id.bytes.data(), p_, id.bytes.size());
    p_ += id.bytes.size();
    return id;
  }

  /// A string that may be null.
  std::optional<std::string_view> read_nullable_string() {
    const int64_t length = flexible_ ? int64_t{read_uvarint32()} - 1 : read<int16_t>();
    if (length < 0) {
      if (length < -1) ok_ = false;
      return std::nullopt;
    }
    return as_text(take(static_cast<size_t>(length)));
  }

  std::string_view read_string() {
    const auto text = read_nullable_string();
    if (!text.has_value()) return fail(std::string_view{});
    return *text;
  }

  /// Record bytes, nullopt for null; they may be patched in place.
  std::optional<MutableBytes> read_nullable_records() {
    const int64_t length = flexible_ ? int64_t{read_uvarint32()} - 1 : read<int32_t>();
    if (length < 0) {
      if (length < -1) ok_ = false;
      return std::nullopt;
    }
    return take(static_cast<size_t>(length));
  }

  /// The length of an array whose elements take at least `min_element_bytes` each; null is 0.
  size_t read_array_length(size_t min_element_bytes) {
    const int64_t length = flexible_ ? int64_t{read_uvarint32()} - 1 : read<int32_t>();
    if (length <= 0) {
      if (length < -1) ok_ = false;
      return 0;
    }
    if (static_cast<uint64_t>(length) > bytes_left() / min_element_bytes ||
        static_cast<uint64_t>(length) > kMaxRequestElements) {
      return fail(size_t{0});
    }
    return static_cast<size_t>(length);
  }

  /// Tagged fields: `on_field(tag, RequestReader& value)` for each. Nothing in old encodings.
  template <class OnField>
  void read_tags(OnField on_field) {
    if (!flexible_) return;
    const uint32_t count = read_uvarint32();
    for (uint32_t i = 0; i < count && ok_; ++i) {
      const uint32_t tag = read_uvarint32();
      RequestReader value(take(read_uvarint32()), true);
      if (!ok_) return;
      on_field(tag, value);
      if (!value.ok()) ok_ = false;
    }
  }
  void skip_tags() {
    read_tags([](uint32_t, RequestReader&) {});
  }

 private:
  template <class T>
  T fail(T value) {
    ok_ = false;
    p_ = end_;
    return value;
  }

  uint32_t read_uvarint32() {
    uint32_t value = 0;
    const uint8_t* next = read_uvarint(p_, end_, value);
    if (next == nullptr) return fail(uint32_t{0});
    p_ += next - p_;
    return value;
  }

  MutableBytes take(size_t length) {
    if (length > bytes_left()) return fail(MutableBytes{});
    const MutableBytes bytes(p_, length);
    p_ += length;
    return bytes;
  }

  uint8_t* p_;
  uint8_t* end_;
  bool flexible_;
  bool ok_ = true;
};

}  // namespace barnabas::dataplane
