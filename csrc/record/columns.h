// A batch taken apart into columns, for languages and formats that want arrays: offsets,
// timestamps, and where each key, value and header lies.
//
// Ownership: columns borrow the batch's bytes when it is not compressed, and own the expansion when
// it is. Thread-safety: pure functions.
#pragma once

#include <cstdint>
#include <vector>

#include "base/result.h"
#include "record/batch.h"

namespace barnabas::record {

/// A byte string within RecordColumns::bytes. Length -1 is null.
struct ColumnSlice {
  int64_t position = 0;
  int32_t length = -1;
};

struct RecordColumns {
  ByteView bytes;  // what the slices refer to
  std::vector<int64_t> offsets;
  std::vector<int64_t> timestamps;  // ms; the batch's own for LogAppendTime
  std::vector<ColumnSlice> keys;
  std::vector<ColumnSlice> values;
  /// The headers of record i are those from header_ends[i - 1] (0 for the first) to header_ends[i].
  std::vector<int64_t> header_ends;
  std::vector<ColumnSlice> header_keys;
  std::vector<ColumnSlice> header_values;
  std::vector<uint8_t> expansion;
};

/// Decodes the records of `batch`, which must be there whole. Checks every bound, not the CRC.
/// `limit`: the most a compressed block may expand to, in bytes.
/// Errors: kInvalidRecord, kCorruptMessage, kMessageTooLarge, kUnsupportedCompressionType.
Result<RecordColumns> decode_columns(const BatchView& batch, size_t limit);

}  // namespace barnabas::record
