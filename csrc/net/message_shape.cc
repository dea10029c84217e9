#include "net/message_shape.h"

#include <cassert>

#include "base/varint.h"

namespace barnabas::net {
namespace {

/// Walks a message along a shape. The depth of recursion is that of the shape.
class Walker {
 public:
  explicit Walker(ByteView message) : p_(message.data()), end_(message.data() + message.size()) {}

  bool walk(ByteView shape) {
    size_t at = 0;
    while (at < shape.size()) {
      const auto op = static_cast<ShapeOp>(shape[at++]);
      if (op == ShapeOp::kArray || op == ShapeOp::kCompactArray) {
        const bool nullable = shape[at++] != 0;
        const ByteView element = nested(shape, at);
        if (!walk_array(op == ShapeOp::kCompactArray, nullable, element)) return false;
      } else if (op == ShapeOp::kOptional) {
        const ByteView inner = nested(shape, at);
        if (p_ == end_) return fail("the message ends before its last field");
        if (static_cast<int8_t>(*p_++) >= 0 && !walk(inner)) return false;
      } else if (op == ShapeOp::kFixed) {
        if (!skip(shape[at++])) return false;
      } else if (!walk_variable(op)) {
        return false;
      }
    }
    return true;
  }

  [[nodiscard]] const char* reason() const { return reason_; }

 private:
  static ByteView nested(ByteView shape, size_t& at) {
    const size_t size = load_be<uint16_t>(shape.data() + at);
    const ByteView inner = shape.subspan(at + sizeof(uint16_t), size);
    at += sizeof(uint16_t) + size;
    return inner;
  }

  bool walk_variable(ShapeOp op) {
    if (op == ShapeOp::kTags) return walk_tags();
    int64_t length = -1;
    if (op == ShapeOp::kString) {
      if (!read_length<int16_t>(length)) return false;
    } else if (op == ShapeOp::kBytes) {
      if (!read_length<int32_t>(length)) return false;
    } else {
      assert(op == ShapeOp::kCompact || op == ShapeOp::kCompactString);
      if (!read_compact_length(length)) return false;
      if (op == ShapeOp::kCompactString && length > kMaxStringBytes) {
        return fail("a string is too long");
      }
    }
    return length <= 0 || skip(static_cast<uint64_t>(length));
  }

  bool walk_array(bool compact, bool nullable, ByteView element) {
    int64_t count = -1;
    if (!(compact ? read_compact_length(count) : read_length<int32_t>(count))) return false;
    if (count < 0) return nullable || fail("an array is null that must not be");
    if (count > end_ - p_) return fail("an array is longer than its message");
    elements_ += static_cast<size_t>(count);
    if (elements_ > kMaxMessageElements) return fail("a message has too many elements");
    for (int64_t i = 0; i < count; ++i) {
      if (!walk(element)) return false;
    }
    return true;
  }

  bool walk_tags() {
    uint32_t count = 0;
    if (!read_uvarint32(count)) return false;
    for (uint32_t i = 0; i < count; ++i) {
      uint32_t tag = 0;
      uint32_t size = 0;
      if (!read_uvarint32(tag) || !read_uvarint32(size) || !skip(size)) return false;
    }
    return true;
  }

  template <class T>
  bool read_length(int64_t& length) {
    if (static_cast<size_t>(end_ - p_) < sizeof(T)) return fail("a length is cut off");
    length = load_be<T>(p_);
    p_ += sizeof(T);
    return length >= -1 || fail("a length is negative");
  }

  bool read_compact_length(int64_t& length) {
    uint32_t raw = 0;
    if (!read_uvarint32(raw)) return false;
    length = static_cast<int64_t>(raw) - 1;
    return true;
  }

  bool read_uvarint32(uint32_t& value) {
    const uint8_t* const next = read_uvarint(p_, end_, value);
    if (next == nullptr) return fail("a varint is cut off or too long");
    p_ = next;
    return true;
  }

  bool skip(uint64_t count) {
    if (count > static_cast<uint64_t>(end_ - p_)) return fail("a field is longer than its message");
    p_ += count;
    return true;
  }

  bool fail(const char* reason) {
    reason_ = reason;
    return false;
  }

  const uint8_t* p_;
  const uint8_t* const end_;
  size_t elements_ = 0;
  const char* reason_ = nullptr;
};

}  // namespace

const char* shape_mismatch(ByteView shape, ByteView message) {
  Walker walker(message);
  return walker.walk(shape) ? nullptr : walker.reason();
}

}  // namespace barnabas::net
