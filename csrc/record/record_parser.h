// Parses one record that lies whole in memory: the loop under validation, reading and decoding, so
// it allocates nothing, builds nothing, and is inlined. The layout is in record/record.h.
//
// Thread-safety: pure functions.
#pragma once

#include <cstdint>

#include "base/result.h"
#include "base/varint.h"

namespace barnabas::record {

/// Where the parts of a record lie. Borrows the bytes; lengths of -1 are nulls.
struct RecordFields {
  int64_t timestamp_delta;
  int32_t offset_delta;
  int32_t key_length;
  int32_t value_length;
  int32_t header_count;
  const uint8_t* key;
  const uint8_t* value;
  const uint8_t* headers;  // as encoded, after the count
  const uint8_t* end;      // of the headers, which is that of the record
};

// A static text that says what is wrong, or nullptr when all is well.
using ParseError = const char*;

[[nodiscard]] inline Error invalid_record(ParseError error) {
  return Error{ErrorCode::kInvalidRecord, error};
}

namespace parse_error {
inline constexpr ParseError kNoLength = "the record's length is missing or malformed";
inline constexpr ParseError kBadLength = "the record's length is beyond the bytes of the batch";
inline constexpr ParseError kMalformed = "the record's fields do not fit its length";
inline constexpr ParseError kHeaderCount = "the record's header count is negative or too large";
inline constexpr ParseError kHeaderKey = "a header has no key, or one that does not fit";
inline constexpr ParseError kHeaderValue = "a header's value does not fit";
inline constexpr ParseError kTrailing = "the record has bytes left over";
}  // namespace parse_error

/// Skips `length` bytes (-1: null, none) of [p, end); nullptr when they do not fit.
[[nodiscard]] inline const uint8_t* skip_nullable(const uint8_t* p, const uint8_t* end,
                                                  int32_t length) {
  if (length <= 0) return p;
  return end - p < length ? nullptr : p + length;
}

/// Walks over the headers in [p, end), which they must fill.
[[nodiscard]] inline ParseError check_headers(const uint8_t* p, const uint8_t* end, int32_t count) {
  for (; count > 0; --count) {
    int32_t length = 0;
    p = read_varint(p, end, length);
    if (p == nullptr || length < 0 || end - p < length) return parse_error::kHeaderKey;
    p += length;
    p = read_varint(p, end, length);
    if (p == nullptr) return parse_error::kHeaderValue;
    p = skip_nullable(p, end, length);
    if (p == nullptr) return parse_error::kHeaderValue;
  }
  return p == end ? nullptr : parse_error::kTrailing;
}

/// Parses the fields of a record's body, which is exactly [p, end).
[[nodiscard]] inline ParseError parse_body(const uint8_t* p, const uint8_t* end,
                                           RecordFields& out) {
  if (p == end) return parse_error::kMalformed;
  ++p;  // attributes: unused so far, and ignored as Kafka does
  if ((p = read_varlong(p, end, out.timestamp_delta)) == nullptr) return parse_error::kMalformed;
  if ((p = read_varint(p, end, out.offset_delta)) == nullptr) return parse_error::kMalformed;
  if ((p = read_varint(p, end, out.key_length)) == nullptr) return parse_error::kMalformed;
  out.key = p;
  if ((p = skip_nullable(p, end, out.key_length)) == nullptr) return parse_error::kMalformed;
  if ((p = read_varint(p, end, out.value_length)) == nullptr) return parse_error::kMalformed;
  out.value = p;
  if ((p = skip_nullable(p, end, out.value_length)) == nullptr) return parse_error::kMalformed;
  if ((p = read_varint(p, end, out.header_count)) == nullptr) return parse_error::kMalformed;
  // Each header takes two bytes at least.
  if (out.header_count < 0 || out.header_count > (end - p) / 2) return parse_error::kHeaderCount;
  out.headers = p;
  out.end = end;
  if (out.header_count != 0) return check_headers(p, end, out.header_count);
  return p == end ? nullptr : parse_error::kTrailing;
}

/// Parses the record at `p` and moves `p` behind it.
[[nodiscard]] inline ParseError parse_record(const uint8_t*& p, const uint8_t* end,
                                             RecordFields& out) {
  int32_t length = 0;
  const uint8_t* body = read_varint(p, end, length);
  if (body == nullptr) return parse_error::kNoLength;
  if (length < 0 || end - body < length) return parse_error::kBadLength;
  p = body + length;
  return parse_body(body, p, out);
}

}  // namespace barnabas::record
