// Produce (API key 0), versions 0-13: parses in place, validates, appends on the reactor, answers.
//
//   parse -> per partition: known? allowed? validate_batch -> Partition::append -> answer, or
//   DelayedProduce when the high watermark has to pass first (flush.messages)
//
// acks=0 is never answered, and an error closes the connection; acks=1 and acks=all wait for the
// high watermark, which with one replica moves with the append. min.insync.replicas is capped by
// the number of replicas, as in Kafka 4, so that it cannot fail with one.
//
// Thread-safety: handle() runs on the reactor of the request; everything per reactor lies in a
// scratch of that reactor's own.
#pragma once

#include <cstdint>
#include <vector>

#include "base/clock.h"
#include "dataplane/flusher.h"
#include "dataplane/partition_table.h"
#include "dataplane/produce_request.h"
#include "dataplane/produce_response.h"
#include "dataplane/purgatory.h"
#include "net/server.h"

namespace barnabas::dataplane {

class ProduceHandler {
 public:
  /// Everything borrowed outlives the handler.
  ProduceHandler(const PartitionTable& table, Purgatory& purgatory, Flusher& flusher,
                 net::Server& server, Clock& clock, size_t reactor_count);

  net::Admission handle(const net::Request& request);
  [[nodiscard]] uint64_t batches_appended() const { return batches_appended_; }

 private:
  struct Appended {
    std::shared_ptr<Partition> partition;
    int64_t required_offset = 0;
    size_t result = 0;  // index into results
  };
  struct Scratch {
    ProduceRequest request;
    std::vector<ProducePartitionResult> results;
    std::vector<Appended> waiting;  // appended, and not below the high watermark
  };

  void append_all(const net::Request& request, Scratch& scratch);
  ProducePartitionResult append_one(const Topic& topic, const ProducePartition& partition,
                                    int16_t version, Scratch& scratch);
  void answer(const net::Request& request, Scratch& scratch);

  const PartitionTable& table_;
  Purgatory& purgatory_;
  Flusher& flusher_;
  net::Server& server_;
  Clock& clock_;
  std::vector<Scratch> scratch_;  // by reactor
  std::atomic<uint64_t> batches_appended_{0};
};

}  // namespace barnabas::dataplane
