#include "embedded/column_batches.h"

namespace barnabas::embedded {

Result<std::vector<uint8_t>> ColumnBatches::next() {
  for (; next_ < columns_.size(); ++next_) {
    const OutgoingRecord record = columns_.at(next_);
    if (builder_.record_count() > 0 &&
        builder_.size_bytes() + encoded_size_limit(record) > limit_bytes_) {
      break;
    }
    builder_.append(record.timestamp_ms, record.key, record.value, record.headers);
  }
  return builder_.build();
}

}  // namespace barnabas::embedded
