// The headers of many records as a caller has them, read in place: the same of every record, or
// each record's own.
//
// Ownership: borrows the bytes; what they lie in outlives it. Thread-safety: immutable while it is
// read.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "embedded/byte_column.h"
#include "record/record.h"

namespace barnabas::embedded {

using HeaderSpan = std::span<const record::HeaderView>;

class HeaderColumn {
 public:
  /// No record has any.
  HeaderColumn() = default;

  /// Of record `i`. REQUIRES: i < size(), unless all have the same
  [[nodiscard]] HeaderSpan at(size_t i) const {
    if (ends_.empty()) return headers_;
    const size_t begin = i == 0 ? 0 : ends_[i - 1];
    return HeaderSpan(headers_).subspan(begin, ends_[i] - begin);
  }
  /// How many records it has headers of; 0: all have the same.
  [[nodiscard]] size_t size() const { return ends_.size(); }

  void push(const record::HeaderView& header) { headers_.push_back(header); }
  /// What was pushed since the last call are one record's.
  void end_record() { ends_.push_back(headers_.size()); }
  /// Arrow's lists: those of record i are from offsets[first + i] to offsets[first + i + 1] of
  /// `names` and `values`. `offsets` of int64 when `wide`; `validity` may be null. Returns what is
  /// wrong with them; nullptr: nothing.
  [[nodiscard]] const char* push_lists(const void* offsets, bool wide, size_t first, size_t size,
                                       const uint8_t* validity, const ByteColumn& names,
                                       const ByteColumn& values);

 private:
  std::vector<record::HeaderView> headers_;
  std::vector<size_t> ends_;
};

}  // namespace barnabas::embedded
