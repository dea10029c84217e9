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
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/log_limiter.h"
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
  friend class VerifiedProduce;

  struct Appended {
    std::shared_ptr<Partition> partition;
    int64_t required_offset = 0;
    size_t result = 0;  // index into results
  };
  /// A request under way.
  struct Job {
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
    size_t next_directory = 0;  // where the batch goes at which append_all() stopped
  };
  /// One that left its reactor, with the bytes that its request points into.
  struct Moved {
    std::vector<uint8_t> body;
    Job job;
  };

  net::Admission handle(const net::Request& request, Job& job);
  void begin(const net::Request& request, Job& job) const;
  /// Whether one of the partitions that are left is held up by a stall.
  [[nodiscard]] bool touches_stalled(const Job& job) const;
  using Step = void (ProduceHandler::*)(const std::shared_ptr<Moved>&);
  /// When there is one: lets what was moved wait, then go on with `next`.
  bool wait_out_stall(const std::shared_ptr<Moved>& moved, Step next);
  /// Fills job.checks. A value: what the coordinator has to be asked first.
  [[nodiscard]] std::optional<TransactionQuestion> check_transaction(Job& job) const;
  static void check_batch(const Topic& topic, const ProducePartition& named,
                          const record::BatchView& batch, TransactionQuestion& question,
                          TransactionCheck& check, size_t number);
  net::Admission ask_first(const net::Request& request, Job& job, TransactionQuestion question);
  /// Takes the job off its reactor's scratch, with a body of its own.
  static std::shared_ptr<Moved> move_job(const net::Request& request, Job& job);
  /// Goes on with what was moved, on its reactor.
  void resume(const std::shared_ptr<Moved>& moved);
  /// Goes on where it stopped, on a reactor or a disk thread of that directory. False when the next
  /// batch is too much for a reactor, or goes to another directory.
  bool append_all(Job& job, std::optional<size_t> directory);
  /// kNone when records may be appended to the partition; `topic`: null when unknown.
  static ErrorCode check_partition(const Job& job, const Topic* topic, int32_t index);
  /// False, and nothing is done, when the batch is too much for a reactor, or goes to another
  /// directory.
  bool append_one(const Topic& topic, const ProducePartition& partition,
                  std::optional<size_t> directory, Job& job, ProducePartitionResult& result);
  /// Where no watchdog looks after the thread: an append that takes long is a stall, too.
  Result<storage::AppendInfo> append_on_disk_thread(Partition& partition,
                                                    const storage::AppendBatch& batch);
  void move_to_disk_thread(const std::shared_ptr<Moved>& moved);
  void answer(Job& job);

  const PartitionTable& table_;
  ProduceServices services_;
  LogLimiter log_{"produce"};
  std::vector<std::unique_ptr<Job>> scratch_;  // by reactor; null while one is in use
  std::atomic<uint64_t> batches_appended_{0};
};

}  // namespace barnabas::dataplane
