// One partition as a producer in this process sees it: the batch that records are added to, and the
// order in which batches go into the log.
//
// Thread-safety: every method may be called from any thread. Adding a record never waits for an
// append: that holds `order_` alone while it encodes and writes.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/thread_annotations.h"
#include "dataplane/engine.h"
#include "embedded/outcome.h"
#include "embedded/outgoing.h"
#include "record/builder.h"

namespace barnabas::embedded {

class Lane {
 public:
  enum class Added : uint8_t {
    kNo,     // it does not fit any more: drain() first
    kFirst,  // and begins a batch
    kMore,
    kFull,     // and the batch is full: drain() now
    kOutside,  // of a transaction: nothing is taken before join()
    kClosed,   // nothing is taken any more
  };
  struct Place {
    Added added = Added::kNo;
    std::shared_ptr<Outcome> outcome;
    int32_t index = 0;  // in the batch
  };

  /// The topic's name outlives the lane.
  Lane(dataplane::Engine& engine, const std::string& topic, int32_t partition,
       const record::BatchOptions& options, std::shared_ptr<Teller> teller);

  [[nodiscard]] int32_t partition() const { return partition_; }

  /// Adds to the open batch, which takes `limit_bytes` at most unless the record is alone in it.
  Place add(const OutgoingRecord& record, size_t limit_bytes) EXCLUDES(open_mutex_);
  /// Appends the open batch to the log; with `only`, if it is still that one. May wait for a disk.
  /// Whether there was one.
  bool drain(const Outcome* only = nullptr) EXCLUDES(order_, open_mutex_);
  /// A batch that went to the log: where it lies, and the outcome that its records' futures share.
  struct Appended {
    std::shared_ptr<Outcome> outcome;
    Result<dataplane::Produced> result;
  };
  /// Appends a batch of somebody else's making behind all that was added before. Its producer is
  /// set here. Nothing when the lane is closed; kInvalidTxnState outside of a transaction. May wait
  /// for a disk.
  std::optional<Appended> append(record::BatchBuilder& builder) EXCLUDES(order_, open_mutex_);
  /// From now on nothing is added; what was is written when this returns. May wait for a disk.
  void close() EXCLUDES(order_, open_mutex_);

  /// Of the batch that records are added to; null: there is none.
  [[nodiscard]] std::shared_ptr<Outcome> open_outcome() EXCLUDES(open_mutex_);
  /// Adds to `out` those of the batches on their way into the log, or not durable yet.
  void collect_unfinished(std::vector<std::shared_ptr<Outcome>>& out) EXCLUDES(open_mutex_);

  // -- transactions: outside of them nothing is taken, and between two of them nothing is open
  /// Whether the producer's transaction has this partition, and takes records.
  [[nodiscard]] bool joined() const { return joined_.load(std::memory_order_acquire); }
  /// The coordinator knows of it; `guard` is that of Engine::begin_transaction.
  void join(const dataplane::TransactionalProducer& producer, storage::VerificationGuard guard)
      EXCLUDES(order_, open_mutex_);
  /// The transaction is about to end: nothing is taken before the next one. The open batch stays to
  /// be drained; with `discards` its records are refused.
  void shut(bool discards) EXCLUDES(open_mutex_);
  /// Why a batch of the transaction was refused, or is not durable; the first that was.
  [[nodiscard]] std::optional<Error> transaction_error() EXCLUDES(open_mutex_);
  /// The transaction is over. REQUIRES: shut(), and all that was taken is done
  void leave() EXCLUDES(open_mutex_);
  /// The sequence of the next batch of a producer.
  [[nodiscard]] int32_t next_sequence(const dataplane::TransactionalProducer& producer)
      EXCLUDES(order_);

 private:
  enum class Takes : uint8_t { kRecords, kNothingYet, kNothingAnyMore };

  // Outcomes are told once the order's lock is free again: whoever waits for one may send.
  [[nodiscard]] std::optional<Appended> drain_in_order(const Outcome* only) REQUIRES(order_)
      EXCLUDES(open_mutex_);
  [[nodiscard]] Appended append_in_order(record::BatchBuilder& builder,
                                         std::shared_ptr<Outcome> outcome) REQUIRES(order_);
  /// Of `unfinished_`, those in front that are finished.
  void forget_finished() REQUIRES(open_mutex_);
  static void tell(const Appended& appended) { appended.outcome->set_produced(appended.result); }

  dataplane::Engine& engine_;
  const std::string& topic_;
  const int32_t partition_;
  const bool transactional_;
  const std::shared_ptr<Teller> teller_;
  std::atomic<bool> joined_{false};

  Mutex order_;  // taken before open_mutex_
  record::BatchBuilder draining_ GUARDED_BY(order_);
  dataplane::TransactionalProducer producer_ GUARDED_BY(order_);
  storage::VerificationGuard guard_ GUARDED_BY(order_) = storage::kNoGuard;
  int32_t next_sequence_ GUARDED_BY(order_) = 0;

  Mutex open_mutex_;
  record::BatchBuilder open_ GUARDED_BY(open_mutex_);
  std::shared_ptr<Outcome> open_outcome_ GUARDED_BY(open_mutex_);
  /// Of batches that have gone to the log, in their order, from one that was not done on.
  std::deque<std::shared_ptr<Outcome>> unfinished_ GUARDED_BY(open_mutex_);
  std::optional<Error> transaction_error_ GUARDED_BY(open_mutex_);
  Takes takes_ GUARDED_BY(open_mutex_);
};

}  // namespace barnabas::embedded
