// Batches for and from this process (internal topics, producers and consumers without a socket), in
// memory; what clients read and write goes between file and socket.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "dataplane/coordinator_append.h"
#include "dataplane/in_process_client.h"
#include "dataplane/partition.h"
#include "dataplane/partition_info.h"

namespace barnabas::dataplane {

/// One uncompressed batch of the records, of the producer's transaction when there is one;
/// kMessageTooLarge above `max_message_bytes`.
Result<std::vector<uint8_t>> encode_batch(std::span<const KeyValueView> records,
                                          int64_t timestamp_ms, int32_t max_message_bytes,
                                          const TransactionalProducer& producer);

/// Engine::fetch.
Result<Fetched> fetch_batches(const Partition& partition, int64_t offset, size_t max_bytes,
                              IsolationLevel isolation, RawArray<uint8_t> memory);

PartitionInfo info_of(const Partition& partition);

/// The first record with the largest timestamp below the high watermark; offset -1 when there is
/// none. REQUIRES: the partition has a log
Result<storage::TimestampOffset> max_timestamp_offset(const Partition& partition);

}  // namespace barnabas::dataplane
