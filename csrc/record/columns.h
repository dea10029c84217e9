// Batches taken apart into columns, for languages and formats that want arrays: offsets,
// timestamps, and where each key, value and header lies.
//
// Ownership: columns borrow the bytes of batches that are not compressed, and own the expansions of
// those that are. Thread-safety: pure functions.
#pragma once

#include <cstdint>
#include <vector>

#include "base/raw_array.h"
#include "base/result.h"
#include "record/batch.h"
#include "record/binary_column.h"

namespace barnabas::record {

struct RecordColumns {
  std::vector<ByteView> buffers;  // what the views refer to
  RawArray<int64_t> offsets;
  RawArray<int64_t> timestamps;  // ms; the batch's own for LogAppendTime
  BinaryColumn keys;
  BinaryColumn values;
  /// The headers of record i are those from header_ends[i - 1] (0 for the first) to header_ends[i].
  /// Empty when no record has any.
  RawArray<int64_t> header_ends;
  BinaryColumn header_keys;
  BinaryColumn header_values;
  std::vector<std::vector<uint8_t>> expansions;

  /// Keeps the memory of the arrays.
  void clear();
  /// Of that memory.
  [[nodiscard]] size_t capacity_bytes() const;
};

struct DecodeOptions {
  /// The most that one compressed block may expand to, in bytes.
  size_t expansion_limit = 0;
  /// Records before this offset are passed over.
  int64_t from_offset = INT64_MIN;
};

/// Appends the records of `batch`, which must be there whole, within buffers[buffer], of less than
/// 2 GiB. Checks every bound, not the CRC. After an error `out` holds some of the records.
/// Errors: kInvalidRecord, kCorruptMessage, kMessageTooLarge, kUnsupportedCompressionType.
Status append_columns(RecordColumns& out, const BatchView& batch, int32_t buffer,
                      const DecodeOptions& options);

}  // namespace barnabas::record
