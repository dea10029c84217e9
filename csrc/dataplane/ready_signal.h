// ReadySignal over the partitions' lists of waiters: a consumer in this process sleeps on its fd.
//
// Ownership: the signal owns its watches; they are unlinked before it goes.
// Thread-safety: see ReadySignal.
#pragma once

#include <memory>

#include "dataplane/engine.h"
#include "dataplane/partition_table.h"

namespace barnabas::dataplane {

/// The table outlives the signal. `read_committed`: the last stable offset counts.
Result<std::unique_ptr<ReadySignal>> make_ready_signal(const PartitionTable& table,
                                                       bool read_committed);

}  // namespace barnabas::dataplane
