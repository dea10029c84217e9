// `<offset>.snapshot`: the producers as they were before `offset`, one batch each.
//
// Layout (big-endian): version int16 (1), crc uint32 (CRC-32C of all that follows), count int32,
// and per producer: producer_id int64, epoch int16, last_sequence int32, last_offset int64,
// offset_delta int32, timestamp int64, coordinator_epoch int32, current_txn_first_offset int64.
#pragma once

#include <vector>

#include "base/bytes.h"
#include "storage/producer_state.h"

namespace barnabas::storage {

std::vector<uint8_t> encode_producer_snapshot(const ProducerState& state);
/// kCorruptMessage when version, size or CRC are wrong; `path` is for the message.
Result<ProducerState> decode_producer_snapshot(ByteView bytes, const std::string& path);

}  // namespace barnabas::storage
