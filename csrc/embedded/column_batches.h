// Columns of records as the batches of one partition, one after the other.
//
// Ownership: borrows the columns. Thread-safety: belongs to one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/result.h"
#include "embedded/outgoing.h"
#include "record/builder.h"

namespace barnabas::embedded {

class ColumnBatches {
 public:
  /// A batch takes `limit_bytes` at most, before compression, unless it has one record alone.
  ColumnBatches(const OutgoingColumns& columns, const record::BatchOptions& options,
                size_t limit_bytes)
      : columns_(columns), builder_(options), limit_bytes_(limit_bytes) {}

  [[nodiscard]] bool done() const { return next_ == columns_.size(); }
  /// REQUIRES: !done()
  Result<std::vector<uint8_t>> next();

 private:
  const OutgoingColumns columns_;
  record::BatchBuilder builder_;
  const size_t limit_bytes_;
  size_t next_ = 0;  // the first record that is in no batch yet
};

}  // namespace barnabas::embedded
