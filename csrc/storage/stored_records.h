// The records of a batch of the log, expanded.
//
// Thread-safety: pure functions.
#pragma once

#include <cstdint>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "record/batch.h"
#include "record/codec.h"

namespace barnabas::storage {

/// What one batch may expand to: the largest request that could have brought it in
/// (socket.request.max.bytes) times a generous ratio.
inline constexpr size_t kMaxExpandedBytes = 1U << 30;

/// In the batch where they lie, or expanded into `buffer`.
inline Result<ByteView> stored_records(const record::BatchView& batch,
                                       std::vector<uint8_t>& buffer) {
  if (batch.codec_id() == 0 || batch.record_count() == 0) return batch.records();
  BARNABAS_ASSIGN(buffer, record::decompress(static_cast<record::Codec>(batch.codec_id()),
                                             batch.records(), kMaxExpandedBytes));
  return ByteView(buffer);
}

}  // namespace barnabas::storage
