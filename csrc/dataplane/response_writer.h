// Writes the primitives of Kafka's protocol into a response, in the old and the flexible encoding.
//
// Thread-safety: belongs to one thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>

#include "base/bytes.h"
#include "base/uuid.h"
#include "base/varint.h"
#include "net/response.h"

namespace barnabas::dataplane {

class ResponseWriter {
 public:
  /// `expected_bytes` is reserved at once.
  ResponseWriter(bool flexible, size_t expected_bytes) : flexible_(flexible) {
    bytes_.reserve(expected_bytes);
  }

  [[nodiscard]] size_t size() const { return bytes_.size(); }
  [[nodiscard]] bool flexible() const { return flexible_; }
  /// What was written since the last take(); the writer goes on with nothing.
  [[nodiscard]] net::Bytes take() { return std::exchange(bytes_, {}); }

  template <class T>
  void write(T value) {
    store_be(grow(sizeof(T)), value);
  }
  void write_uuid(const Uuid& id) { write_bytes(id.bytes); }
  void write_bytes(ByteView bytes) {
    if (!bytes.empty()) std::memcpy(grow(bytes.size()), bytes.data(), bytes.size());
  }
  void write_string(std::string_view text) {
    if (flexible_) {
      write_uvarint32(text.size() + 1);
    } else {
      write(static_cast<int16_t>(text.size()));
    }
    write_bytes(as_bytes(text));
  }
  void write_nullable_string(std::optional<std::string_view> text) {
    if (text.has_value()) {
      write_string(*text);
    } else if (flexible_) {
      write_uvarint32(0);
    } else {
      write(int16_t{-1});
    }
  }
  void write_array_length(size_t length) { write_length(length); }
  void write_null_array() {
    if (flexible_) {
      write_uvarint32(0);
    } else {
      write(int32_t{-1});
    }
  }
  /// The length of records whose bytes follow by other means.
  void write_records_length(size_t length) { write_length(length); }
  void write_uvarint32(uint64_t value) {
    uint8_t buffer[kMaxVarint64Bytes];
    const uint8_t* end = write_uvarint(buffer, value);
    write_bytes({buffer, static_cast<size_t>(end - buffer)});
  }
  /// No tagged fields; nothing in old encodings.
  void write_empty_tags() {
    if (flexible_) write(int8_t{0});
  }

 private:
  void write_length(size_t length) {
    if (flexible_) {
      write_uvarint32(length + 1);
    } else {
      write(static_cast<int32_t>(length));
    }
  }

  uint8_t* grow(size_t count) {
    const size_t at = bytes_.size();
    bytes_.resize(at + count);
    return bytes_.data() + at;
  }

  net::Bytes bytes_;
  bool flexible_;
};

}  // namespace barnabas::dataplane
