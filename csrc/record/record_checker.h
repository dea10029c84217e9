// The deep check of a batch: what validate_batch asks of every single record.
//
// Records are looked at once, where they lie (check_records) or as they come out of a decompressor
// (check_compressed_records). Nothing is allocated unless a record is refused.
//
// Thread-safety: a checker belongs to one thread.
#pragma once

#include <cstdint>
#include <vector>

#include "base/result.h"
#include "record/batch.h"
#include "record/record_parser.h"
#include "record/validate.h"

namespace barnabas::record {

class WindowReader;

/// The timestamps that a topic takes, ms.
struct TimestampRange {
  int64_t earliest = INT64_MIN;
  int64_t latest = INT64_MAX;
};

[[nodiscard]] TimestampRange timestamp_range(const ValidationPolicy& policy, int64_t now_ms);

class RecordChecker {
 public:
  /// Borrows `policy`. `batch` is read here only.
  RecordChecker(const ValidationPolicy& policy, const BatchView& batch, TimestampRange timestamps);

  /// Checks `records`, uncompressed, which must be exactly those that the header counts.
  Status check_records(ByteView records);
  /// The same for a compressed block; expands it to at most `limit` bytes, a window at a time.
  /// `expanded_bytes`: how far it came.
  Status check_compressed_records(Codec codec, ByteView block, uint64_t limit,
                                  uint64_t& expanded_bytes);

  /// The verdict over all records. REQUIRES: one of the above has returned ok
  [[nodiscard]] Status verdict() const;

  [[nodiscard]] int64_t max_timestamp() const { return max_timestamp_; }
  [[nodiscard]] int32_t max_timestamp_offset_delta() const { return max_timestamp_offset_delta_; }
  [[nodiscard]] std::vector<RecordError>&& take_errors() { return std::move(errors_); }

 private:
  /// nullptr, or what is wrong with the batch as a whole; a record that is merely refused is
  /// noted in errors_.
  [[nodiscard]] ParseError check(const RecordFields& record) {
    if (record.offset_delta != index_) return kBadOffsetDelta;
    const auto timestamp = static_cast<int64_t>(static_cast<uint64_t>(base_timestamp_) +
                                                static_cast<uint64_t>(record.timestamp_delta));
    if (timestamp > max_timestamp_) {
      max_timestamp_ = timestamp;
      max_timestamp_offset_delta_ = index_;
    }
    if (record.key_length < 0 && policy_.compacted) [[unlikely]] {
      refuse_missing_key();
    } else if ((timestamp < earliest_ || timestamp > latest_) && timestamp != kNoTimestamp)
        [[unlikely]] {
      refuse_timestamp(timestamp);
    }
    ++index_;
    return nullptr;
  }
  Status check_stream(WindowReader& reader);
  void refuse_missing_key();
  void refuse_timestamp(int64_t timestamp);
  void refuse(std::string message);
  [[nodiscard]] Error malformed(ParseError what) const;

  static constexpr ParseError kBadOffsetDelta = "the offset deltas do not count up from 0";

  // Constant after construction.
  const ValidationPolicy& policy_;
  const int32_t record_count_;
  const int64_t base_timestamp_;
  const int64_t earliest_;  // ms; the timestamps that are taken
  const int64_t latest_;    // ms

  int32_t index_ = 0;  // of the record under check
  int64_t max_timestamp_ = kNoTimestamp;
  int32_t max_timestamp_offset_delta_ = 0;
  bool timestamp_refused_ = false;
  int64_t error_count_ = 0;
  std::vector<RecordError> errors_;  // at most policy_.max_record_errors, or the first
};

/// " in topic partition t-0", or nothing when the policy names no topic.
[[nodiscard]] std::string in_partition(const ValidationPolicy& policy);

}  // namespace barnabas::record
