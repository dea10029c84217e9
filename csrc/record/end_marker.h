// The record that ends a producer's transaction in a partition: the only one in a control batch
// (EndTxnMarker, KIP-98).
//
// Layout (big-endian): key: version int16 (0), type int16 (0 abort, 1 commit);
// value: version int16 (0), coordinator_epoch int32.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/result.h"
#include "record/batch.h"

namespace barnabas::record {

struct EndMarker {
  bool commit = false;
  int32_t coordinator_epoch = -1;
};

/// A control batch of that one record; base offset and leader epoch are left to Log::append.
/// `timestamp_ms`: wall clock.
Result<std::vector<uint8_t>> encode_end_marker(const EndMarker& marker, int64_t producer_id,
                                               int16_t producer_epoch, int64_t timestamp_ms);

/// What a control batch says; `head` is its first bytes, header included. nullopt when it holds no
/// such record: compaction may have emptied it, and there are control records of other kinds.
std::optional<EndMarker> parse_end_marker(const BatchView& batch, ByteView head);

}  // namespace barnabas::record
