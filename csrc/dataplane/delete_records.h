// DeleteRecords (API key 21, KIP-107): moves the log start offsets of partitions, as their leader.
//
// Thread-safety: safe from every thread; waits for a disk.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "dataplane/log_directories.h"
#include "dataplane/partition_table.h"
#include "dataplane/record_deletion.h"

namespace barnabas::dataplane {

/// Answers each of `asked` on its own; the new log starts are in the checkpoint at return, so that
/// what was deleted stays so after a crash.
/// Errors of one: kUnknownTopicOrPartition, kKafkaStorageError, kPolicyViolation when the topic's
/// cleanup.policy has no `delete`, kOffsetOutOfRange below zero or above the high watermark.
std::vector<DeletedRecords> delete_records(const PartitionTable& table, LogDirectories& directories,
                                           std::span<const RecordDeletion> asked);

}  // namespace barnabas::dataplane
