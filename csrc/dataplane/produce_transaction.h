// Transactional batches of a Produce request: what has to be asked before they are appended.
//
// Thread-safety: as the job's.
#pragma once

#include <optional>

#include "dataplane/partition_table.h"
#include "dataplane/produce_job.h"
#include "dataplane/transaction_check.h"

namespace barnabas::dataplane {

/// Fills job.checks, unless no batch is transactional. A value: what the coordinator has to be
/// asked first. REQUIRES: a transactional id; empty checks
std::optional<TransactionQuestion> check_transaction(const PartitionTable& table, ProduceJob& job);

}  // namespace barnabas::dataplane
