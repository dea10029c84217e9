// One record inside a batch, and the iteration over them.
//
// Layout of a record (varints are zig-zag): length varint, attributes int8, timestamp_delta
// varlong, offset_delta varint, key length varint (-1: null) and bytes, value length varint
// (-1: null, a tombstone) and bytes, header count varint, per header: key length varint and bytes,
// value length varint (-1: null) and bytes.
#pragma once

#include <cstdint>
#include <optional>

#include "base/bytes.h"
#include "base/result.h"

namespace barnabas::record {

/// One header of a record. Borrows the bytes.
struct HeaderView {
  ByteView key;
  std::optional<ByteView> value;
};

struct RecordView {
  int64_t timestamp_delta = 0;  // ms from the batch's base_timestamp
  int32_t offset_delta = 0;
  std::optional<ByteView> key;
  std::optional<ByteView> value;
  int32_t header_count = 0;
  ByteView headers;  // as encoded, after the count
};

/// Walks over uncompressed records. Borrows the bytes. Checks every bound.
class RecordReader {
 public:
  RecordReader(ByteView records, int32_t count) : rest_(records), left_(count) {}

  /// The next record, nullopt after the last; kInvalidRecord when it does not parse, when bytes
  /// are left over after the last, or when fewer records are there than the count says.
  Result<std::optional<RecordView>> next();

 private:
  ByteView rest_;
  int32_t left_;
};

}  // namespace barnabas::record
