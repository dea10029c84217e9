// What a produced batch must satisfy before it is appended (Kafka's LogValidator), checked in
// place.
//
// Thread-safety: pure functions.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"
#include "record/batch.h"

namespace barnabas::record {

struct BuiltBatch;

/// The limits a topic sets on what it takes; constant for the length of a call.
struct ValidationPolicy {
  int32_t max_message_bytes = 1048588;  // max.message.bytes, of the batch as sent
  TimestampType timestamp_type = TimestampType::kCreateTime;
  int64_t timestamp_before_max_ms = INT64_MAX;  // message.timestamp.before.max.ms
  int64_t timestamp_after_max_ms = 3'600'000;   // message.timestamp.after.max.ms
  bool compacted = false;                       // every record needs a key
  bool recompress = false;                      // compression.type is not `producer`
  Codec target_codec = Codec::kNone;            // used when recompress
  int target_level = INT32_MIN;                 // kDefaultLevel
  /// What the records of one batch may expand to. A bomb is refused with kMessageTooLarge.
  int64_t max_decompressed_bytes = 0;  // 0: default_max_decompressed_bytes(max_message_bytes)
  /// How many records are blamed one by one; the first one always is.
  size_t max_record_errors = 1000;
  /// Of the network: a control batch, or a base offset other than 0, is refused then.
  bool from_client = true;
  /// Named in error messages; may be empty. Borrowed for the length of the call.
  std::string_view topic;
  int32_t partition = 0;
};

/// 64 MiB, or 16 times the largest batch where that is more.
[[nodiscard]] constexpr int64_t default_max_decompressed_bytes(int32_t max_message_bytes) {
  return std::max<int64_t>(64LL << 20, 16LL * max_message_bytes);
}

/// A record that made its batch unacceptable (Produce v8+, KIP-467).
struct RecordError {
  int32_t batch_index = 0;
  std::string message;
};

/// Why a batch was refused, with the records to blame as far as they are known.
struct ValidationFailure {
  Error error;
  std::vector<RecordError> record_errors;
  uint64_t expanded_bytes = 0;  // beyond max_decompressed_bytes: it would have been more
};

/// A batch that may be appended.
struct ValidatedBatch {
  /// Where the batch now lies: the caller's buffer (patched in place), or `rewritten`.
  MutableBytes bytes;
  std::vector<uint8_t> rewritten;  // filled when the batch had to be re-encoded
  int64_t max_timestamp = kNoTimestamp;
  /// Offset delta of the first record that has max_timestamp (ListOffsets -3, the time index).
  int32_t max_timestamp_offset_delta = 0;
  /// The work that it was beside a look at `records`: bytes that were expanded or compressed anew.
  uint64_t expanded_bytes = 0;
};

/// Checks `records` (the bytes of one partition in a Produce request), which must hold exactly one
/// v2 batch. Errors, as Kafka 4 answers them: kInvalidRecord (no batch, magic 0 or 1, several
/// batches, counts, offset deltas, records that do not parse or decompress, missing keys, control
/// batches), kCorruptMessage (size, unknown magic, CRC), kMessageTooLarge, kInvalidTimestamp,
/// kUnsupportedCompressionType. With LogAppendTime, and when the header's max_timestamp is not that
/// of the records, header and CRC are rewritten in place; as well when a producer says
/// LogAppendTime where the topic has CreateTime. `now_ms` is the wall clock. Base offset and leader
/// epoch are left to Log::append.
std::variant<ValidatedBatch, ValidationFailure> validate_batch(MutableBytes records,
                                                               const ValidationPolicy& policy,
                                                               int64_t now_ms);

/// Whether validate_batch would find nothing wrong with a batch of a builder's, and nothing to
/// change, as far as that can be told without a look at its records. False: it may all the same.
[[nodiscard]] bool is_good_as_built(const BuiltBatch& batch, const ValidationPolicy& policy,
                                    int64_t now_ms);

}  // namespace barnabas::record
