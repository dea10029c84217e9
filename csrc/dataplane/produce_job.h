// A Produce request under way: what is asked, and what has come of it so far.
//
// Ownership: a job points into the body of its request. One that leaves its reactor takes a copy of
// the body with it, as a MovedProduce.
//
// Thread-safety: one thread at a time: that of its reactor, or the disk thread that it has gone to.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
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
#include "record/batch.h"

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
  /// Shows `visit` what is not done yet, in order: the topic (null when unknown), what is asked of
  /// a partition, and its number in the request. Ends when it returns false, and returns that.
  template <class Visit>
  bool visit_undone(const PartitionTable& table, Visit visit) const {
    const bool by_id = version >= kProduceFirstTopicIdVersion;
    size_t next = 0;
    for (const auto& named : request.topics) {
      const size_t end = next + named.partition_count;
      if (end <= results.size()) {
        next = end;
        continue;
      }
      const TopicPtr topic = by_id ? table.find(named.id) : table.find(named.name);
      for (next = std::max(next, results.size()); next < end; ++next) {
        if (!visit(topic.get(), request.partitions[next], next)) return false;
      }
    }
    return true;
  }
};

/// The header of the first batch, when it is there and of the one format with these fields.
inline std::optional<record::BatchView> header_of(const ProducePartition& named) {
  const ByteView records = named.records.value_or(MutableBytes{});
  if (records.size() < record::kBatchHeaderSize) return std::nullopt;
  const record::BatchView batch(records);
  return batch.magic() == record::kMagic ? std::optional(batch) : std::nullopt;
}

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
