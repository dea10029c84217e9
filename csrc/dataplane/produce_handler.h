// Produce (API key 0), versions 0-13: parses in place, validates, appends on the reactor, answers.
//
//   parse -> per partition: known? allowed? validate_batch -> Partition::append -> answer, or
//   DelayedProduce when the high watermark has to pass first (flush.messages)
//
// A batch that would begin a transaction in a partition has to be known to the transaction
// coordinator first (KIP-890): then the whole request waits as a VerifiedProduce, for one question
// about all such partitions, and its connection's next request waits for it.
//
// A request with more to expand than a reactor may be kept busy with goes on, from the batch that
// was too much, on a disk thread: one of the directory that the batch goes to, and another when the
// next batch goes elsewhere. Its connection's next request waits for it.
//
// A request for a partition that an append is stuck in, or in a log directory that stalls, waits,
// like one that finds a queue full: its connection pauses until the stall ends. Nothing of it has
// happened by then.
//
// acks=0 is never answered, and an error closes the connection; acks=1 and acks=all wait for the
// high watermark, which with one replica moves with the append. min.insync.replicas is capped by
// the number of replicas, as in Kafka 4, so that it cannot fail with one.
//
// Thread-safety: handle() runs on the reactor of the request; everything per reactor lies in a
// scratch of that reactor's own. An append may be stuck while another thread runs the reactor: who
// has taken the scratch keeps it until it is done.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/log_limiter.h"
#include "dataplane/partition_table.h"
#include "dataplane/produce_job.h"
#include "net/server.h"

namespace barnabas::dataplane {

class ProduceHandler {
 public:
  /// What the batches of one request may expand to on the reactor, where others wait for it.
  static constexpr uint64_t kMaxInlineExpandedBytes = 4 << 20;
  /// What the batches of one request may expand to at all, or kMaxExpansion times its size where
  /// that is more; beyond it they are refused with kMessageTooLarge.
  static constexpr uint64_t kMaxExpandedBytes = 128 << 20;
  static constexpr uint64_t kMaxExpansion = 16;
  /// How many records of one request are blamed one by one (RecordErrors).
  static constexpr size_t kMaxRecordErrors = 10'000;

  /// Everything borrowed outlives the handler.
  ProduceHandler(const PartitionTable& table, ProduceServices services, size_t reactor_count);

  net::Admission handle(const net::Request& request);
  [[nodiscard]] uint64_t batches_appended() const { return batches_appended_; }

 private:
  net::Admission handle(const net::Request& request, ProduceJob& job);
  static void begin(const net::Request& request, ProduceJob& job);
  /// Whether one of the partitions that are left is held up by a stall.
  [[nodiscard]] bool touches_stalled(const ProduceJob& job) const;
  using Step = void (ProduceHandler::*)(const MovedProducePtr&);
  /// When there is one: lets what was moved wait, then go on with `next`.
  bool wait_out_stall(const MovedProducePtr& moved, Step next);
  net::Admission ask_first(const net::Request& request, ProduceJob& job,
                           TransactionQuestion question);
  /// Goes on with what was moved, on its reactor.
  void resume(const MovedProducePtr& moved);
  /// Goes on where it stopped, on a reactor or a disk thread of that directory. False when the next
  /// batch is too much for a reactor, or goes to another directory.
  bool append_all(ProduceJob& job, std::optional<size_t> directory);
  /// False, and nothing is done, when the batch is too much for a reactor, or goes to another
  /// directory.
  bool append_one(const Topic& topic, const ProducePartition& partition,
                  std::optional<size_t> directory, ProduceJob& job, ProducePartitionResult& result);
  /// Where no watchdog looks after the thread: an append that takes long is a stall, too.
  Result<storage::AppendInfo> append_on_disk_thread(Partition& partition,
                                                    const storage::AppendBatch& batch);
  void move_to_disk_thread(const MovedProducePtr& moved);
  void answer(ProduceJob& job);

  const PartitionTable& table_;
  ProduceServices services_;
  LogLimiter log_{"produce"};
  std::vector<std::unique_ptr<ProduceJob>> scratch_;  // by reactor; null while one is in use
  std::atomic<uint64_t> batches_appended_{0};
};

}  // namespace barnabas::dataplane
