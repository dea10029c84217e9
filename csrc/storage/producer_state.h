// What a partition remembers of its idempotent producers: per producer id the epoch and the last
// five batches, so that a retry is recognised and a gap refused.
//
// Pure state, no IO and no clock; its owner (Log) locks it.
//
// Invariants per producer:
//   at most kBatchesRemembered batches, oldest first, all of `epoch`
//   the last batch is the producer's last in the log
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <unordered_map>

#include "base/result.h"
#include "record/batch.h"

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

class ProducerState {
 public:
  using Map = std::unordered_map<int64_t, ProducerEntry>;

  /// Whether a client's batch may be appended. A value is the earlier batch that this one repeats;
  /// nullopt: append it. Errors: kInvalidProducerEpoch, kOutOfOrderSequenceNumber,
  /// kInvalidTxnState. REQUIRES: batch.has_producer_id()
  [[nodiscard]] Result<std::optional<ProducerBatch>> check(const record::BatchView& batch) const;

  /// Takes note of a batch that is in the log at its base offset. `head` is its first bytes, for
  /// the marker in a control batch; `now_ms` the wall clock. Batches without a producer id change
  /// nothing.
  void apply(const record::BatchView& batch, ByteView head, int64_t now_ms);

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
  void restore(int64_t producer_id, const ProducerEntry& entry) { producers_[producer_id] = entry; }

 private:
  Map producers_;
};

}  // namespace barnabas::storage
