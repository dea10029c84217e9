// Records on their way into a log, as their sender has them: one, or columns of many.
//
// Ownership: borrows the bytes. Thread-safety: immutable while it is read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/bytes.h"
#include "embedded/byte_column.h"
#include "embedded/header_column.h"
#include "record/record.h"

namespace barnabas::embedded {

struct OutgoingRecord {
  int64_t timestamp_ms = 0;
  std::optional<ByteView> key;
  std::optional<ByteView> value;
  std::span<const record::HeaderView> headers;
};

/// The most bytes that the record takes in a batch, before compression.
[[nodiscard]] size_t encoded_size_limit(const OutgoingRecord& record);

/// Columns of one length.
struct OutgoingColumns {
  const ByteColumn* values = nullptr;
  const ByteColumn* keys = nullptr;
  const HeaderColumn* headers = nullptr;   // null: no record has any
  const int64_t* timestamps_ms = nullptr;  // null: `timestamp_ms` for all
  int64_t timestamp_ms = 0;

  [[nodiscard]] size_t size() const { return values->size(); }
  /// REQUIRES: i < size()
  [[nodiscard]] OutgoingRecord at(size_t i) const {
    OutgoingRecord record;
    record.key = keys->at(i);
    record.value = values->at(i);
    if (headers != nullptr) record.headers = headers->at(i);
    record.timestamp_ms = timestamps_ms == nullptr ? timestamp_ms : timestamps_ms[i];
    return record;
  }
};

}  // namespace barnabas::embedded
