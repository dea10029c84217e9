// A Produce request under way: what is asked, and what has come of it so far.
//
// Ownership: a job points into the body of its request. One that leaves its reactor takes a copy of
// the body with it, as a MovedProduce.
//
// Thread-safety: one thread at a time: that of its reactor, or the disk thread that it has gone to.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "dataplane/control_queue.h"
#include "dataplane/directory_pools.h"
#include "dataplane/flusher.h"
#include "dataplane/partition_table.h"
#include "dataplane/produce_request.h"
#include "dataplane/produce_response.h"
#include "dataplane/purgatory.h"
#include "dataplane/stalled_directories.h"
#include "dataplane/transaction_check.h"
#include "net/server.h"

namespace barnabas::dataplane {

/// What every produce needs; outlives them.
struct ProduceServices {
  net::Server& server;
  Purgatory& purgatory;
  DirectoryPools& disk_threads;
  Flusher& flusher;
  ControlQueue& control_queue;
  StalledDirectories& stalled;
  Clock& clock;
};

struct ProduceJob {
  struct Appended {
    std::shared_ptr<Partition> partition;
    int64_t required_offset = 0;
    size_t result = 0;  // index into results
  };

  net::RequestToken token;
  int32_t correlation_id = 0;
  int16_t version = 0;
  bool of_admin_client = false;
  std::string peer_host;
  ProduceRequest request;
  std::vector<TransactionCheck> checks;         // of the partitions; empty without transactions
  std::vector<ProducePartitionResult> results;  // of the partitions that are done
  std::vector<Appended> waiting;                // appended, and not below the high watermark
  uint64_t inline_expansion_left = 0;           // bytes
  uint64_t expansion_left = 0;                  // bytes
  size_t record_errors_left = 0;
  size_t next_directory = 0;  // where the batch goes at which appending stopped

  /// kNone when records may be appended to the partition; `topic`: null when unknown.
  [[nodiscard]] ErrorCode check_partition(const Topic* topic, int32_t index) const;
};

/// A job that has left its reactor, with the bytes that its request points into.
struct MovedProduce {
  std::vector<uint8_t> body;
  ProduceJob job;

  /// Leaves `job` empty.
  static std::shared_ptr<MovedProduce> of(const net::Request& request, ProduceJob& job);
  [[nodiscard]] size_t memory_bytes() const;
};

using MovedProducePtr = std::shared_ptr<MovedProduce>;

}  // namespace barnabas::dataplane
