// What a partition remembers of its idempotent producers: per producer id the epoch and the last
// five batches, so that a retry is recognised and a gap refused; and which transactions are open.
//
// Pure state, no IO and no clock; its owner (Log) locks it.
//
// Invariants per producer:
//   at most kBatchesRemembered batches, oldest first, all of `epoch`
//   the last batch is the producer's last in the log
//   at most one transaction is open
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "record/batch.h"
#include "storage/transaction_index.h"
#include "storage/verifications.h"

namespace barnabas::storage {

/// As many as a producer may have in flight (max.in.flight.requests.per.connection).
inline constexpr size_t kBatchesRemembered = 5;

struct ProducerBatch {
  int32_t last_sequence = record::kNoSequence;
  int32_t offset_delta = 0;
  int64_t last_offset = -1;
  int64_t timestamp = record::kNoTimestamp;

  [[nodiscard]] int32_t first_sequence() const;
  [[nodiscard]] int64_t first_offset() const { return last_offset - offset_delta; }
};

struct ProducerEntry {
  int16_t epoch = record::kNoProducerEpoch;
  uint8_t batch_count = 0;
  int32_t coordinator_epoch = -1;
  int64_t last_seen_ms = -1;  // wall clock, when its last batch was appended
  int64_t current_txn_first_offset = -1;
  std::array<ProducerBatch, kBatchesRemembered> batches{};

  [[nodiscard]] std::span<const ProducerBatch> remembered() const {
    return {batches.data(), batch_count};
  }
  /// REQUIRES: batch_count > 0
  [[nodiscard]] const ProducerBatch& last() const { return batches[batch_count - 1]; }
  void add(const ProducerBatch& batch);
};

/// What DescribeProducers tells of one producer.
struct ProducerInfo {
  int64_t producer_id = -1;
  int16_t producer_epoch = record::kNoProducerEpoch;
  int32_t last_sequence = record::kNoSequence;
  int64_t last_timestamp = record::kNoTimestamp;
  int32_t coordinator_epoch = -1;
  int64_t current_txn_start_offset = -1;  // -1: none is open
};

/// Who appends a batch with a producer id, which decides what is checked.
enum class AppendOrigin : uint8_t {
  kClient,       // everything
  kCoordinator,  // epochs only: offset commits and markers have no sequence
};

/// What the appender knows of a batch with a producer id beside its bytes.
struct ProducerContext {
  AppendOrigin origin = AppendOrigin::kClient;
  /// That the transaction coordinator knows the partition; kNoGuard once the transaction is open.
  VerificationGuard guard = kNoGuard;
  /// Of a marker (KIP-1228). From 2 on its epoch is above that of the transaction's records.
  int16_t transaction_version = 0;
};

/// A transaction that a marker ended, with records in this partition.
struct CompletedTransaction {
  int64_t producer_id = -1;
  int64_t first_offset = -1;
  int64_t last_offset = -1;  // the marker's
  bool aborted = false;
};

class ProducerState {
 public:
  using Map = std::unordered_map<int64_t, ProducerEntry>;

  /// Whether a batch may be appended. A value is the earlier batch that this one repeats; nullopt:
  /// append it. `head` is its first bytes, for the marker in a control batch; `verify`: whether a
  /// client's transaction has to be known to its coordinator before it begins here.
  /// Errors: kInvalidProducerEpoch, kOutOfOrderSequenceNumber, kInvalidTxnState,
  /// kTransactionCoordinatorFenced. REQUIRES: batch.has_producer_id()
  [[nodiscard]] Result<std::optional<ProducerBatch>> check(const record::BatchView& batch,
                                                           ByteView head,
                                                           const ProducerContext& context,
                                                           bool verify) const;

  /// Takes note of a batch that is in the log at its base offset. `head` is its first bytes, for
  /// the marker in a control batch; `now_ms` the wall clock. Batches without a producer id change
  /// nothing. Returns the transaction that it ended.
  std::optional<CompletedTransaction> apply(const record::BatchView& batch, ByteView head,
                                            int64_t now_ms);

  // -- transactions -------------------------------------------------------------------------------
  [[nodiscard]] bool in_transaction(int64_t producer_id, int16_t epoch) const;
  /// kInvalidProducerEpoch when a later one has been here.
  [[nodiscard]] Status check_epoch(int64_t producer_id, int16_t epoch) const;
  /// Where the oldest transaction begins that is open, or whose end is not below the high watermark
  /// yet; INT64_MAX when there is none.
  [[nodiscard]] int64_t first_unstable_offset() const;
  /// What the transaction index is to say of the transaction that apply() has just ended.
  [[nodiscard]] AbortedTransaction aborted(const CompletedTransaction& completed) const;
  /// Keeps a transaction unstable until the high watermark has passed its marker.
  void await_high_watermark(const CompletedTransaction& completed) {
    undecided_[completed.first_offset] = completed.last_offset;
  }
  void advance_high_watermark(int64_t high_watermark);
  Verifications& verifications() { return verifications_; }

  /// Fills up the memory of producers whose last batch `older` knows with what came before it.
  void complete_from(const ProducerState& older);
  /// Whether some producer has less than its last five batches.
  [[nodiscard]] bool partial() const;
  /// Whether some producer has, as far as its sequences tell, batches before those known.
  [[nodiscard]] bool incomplete() const;

  /// Forgets producers that have appended nothing for `expiration_ms`, unless they are in a
  /// transaction. Timestamps of records do not count: who sends old ones is not gone.
  void remove_expired(int64_t now_ms, int64_t expiration_ms);

  [[nodiscard]] const Map& producers() const { return producers_; }
  [[nodiscard]] bool empty() const { return producers_.empty(); }
  /// As DescribeProducers tells it, in no order.
  [[nodiscard]] std::vector<ProducerInfo> describe() const;
  void restore(int64_t producer_id, const ProducerEntry& entry);

 private:
  [[nodiscard]] static Status check_marker(const record::BatchView& batch, ByteView head,
                                           const ProducerEntry& entry, int16_t transaction_version);
  [[nodiscard]] static Status check_sequence(const record::BatchView& batch,
                                             const ProducerEntry* entry,
                                             const Verification* verification);
  std::optional<CompletedTransaction> end_transaction(const record::BatchView& batch, ByteView head,
                                                      ProducerEntry& entry);

  Map producers_;
  std::map<int64_t, int64_t> ongoing_;    // first offset -> producer id
  std::map<int64_t, int64_t> undecided_;  // first offset -> the marker's, not yet replicated
  Verifications verifications_;
};

}  // namespace barnabas::storage
