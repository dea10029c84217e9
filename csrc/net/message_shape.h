// Whether a request's message has the shape that its schema gives it: every count and length within
// the bytes that are there, null only where it may be. Checked before the control plane's decoder
// runs, which trusts counts.
//
// A shape is a little program, compiled from a schema by the control plane:
//
//   kFixed n                     n bytes
//   kString                      int16 length, -1 for null, and the bytes
//   kBytes                       int32 length, -1 for null, and the bytes
//   kCompact                     uvarint length + 1, 0 for null, and the bytes (flexible versions)
//   kCompactString               the same, of kMaxStringBytes at most
//   kArray f size shape          int32 count (-1: null), then `shape` for each element; `size` is
//                                that shape's length, uint16; f is 1 when null is allowed
//   kCompactArray f size shape   the same with uvarint count + 1 (0: null)
//   kOptional size shape         int8, below 0 for null, otherwise the shape follows
//   kTags                        tagged fields: a count, and of each tag, size and bytes
//
// Thread-safety: pure functions.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/bytes.h"

namespace barnabas::net {

/// What one request may hold, of array elements at any depth: more than any sensible client sends,
/// and few enough that a frame of the smallest elements cannot be blown up to gigabytes of objects.
inline constexpr size_t kMaxMessageElements = 200'000;

/// The longest string of any message, as in Kafka: older versions, and the records of groups, give
/// a string's length as an int16, so that a longer one could be taken in but never be said again.
inline constexpr int64_t kMaxStringBytes = 0x7fff;

enum class ShapeOp : uint8_t {
  kFixed = 0,
  kString = 1,
  kBytes = 2,
  kCompact = 3,
  kArray = 4,
  kCompactArray = 5,
  kOptional = 6,
  kTags = 7,
  kCompactString = 8,
};

/// The reason why `message` does not start with what `shape` describes, or nullptr. Bytes behind it
/// are allowed.
/// REQUIRES: `shape` is a whole program.
[[nodiscard]] const char* shape_mismatch(ByteView shape, ByteView message);

}  // namespace barnabas::net
