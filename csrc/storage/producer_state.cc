#include "storage/producer_state.h"

#include <algorithm>
#include <limits>
#include <string>
#include <utility>

#include "record/end_marker.h"

namespace barnabas::storage {
namespace {

Error epoch_error(int64_t producer_id, int16_t epoch, const char* relation, int16_t last) {
  return Error{ErrorCode::kInvalidProducerEpoch,
               "producer " + std::to_string(producer_id) + ": epoch " + std::to_string(epoch) +
                   relation + std::to_string(last),
               0};
}

Error sequence_error(const record::BatchView& batch, const std::string& why) {
  return Error{ErrorCode::kOutOfOrderSequenceNumber,
               "producer " + std::to_string(batch.producer_id()) + ": sequence " +
                   std::to_string(batch.base_sequence()) + " " + why,
               0};
}

bool in_sequence(int32_t last, int32_t next) {
  return static_cast<int64_t>(last) + 1 == next || (last == INT32_MAX && next == 0);
}

}  // namespace

int32_t ProducerBatch::first_sequence() const {
  if (last_sequence == record::kNoSequence) return record::kNoSequence;
  // The sequence after 2^31-1 is 0.
  if (last_sequence < offset_delta) return INT32_MAX - (offset_delta - last_sequence) + 1;
  return last_sequence - offset_delta;
}

void ProducerEntry::add(const ProducerBatch& batch) {
  if (batch_count == kBatchesRemembered) {
    std::shift_left(batches.begin(), batches.end(), 1);
    --batch_count;
  }
  batches[batch_count++] = batch;
}

Result<std::optional<ProducerBatch>> ProducerState::check(const record::BatchView& batch,
                                                          ByteView head,
                                                          const ProducerContext& context,
                                                          bool verify) const {
  const std::optional<ProducerBatch> append_it;
  const auto found = producers_.find(batch.producer_id());
  const ProducerEntry* entry = found == producers_.end() ? nullptr : &found->second;
  const int16_t epoch = batch.producer_epoch();
  if (batch.is_control()) {
    if (entry != nullptr) {
      BARNABAS_TRY(check_marker(batch, head, *entry, context.transaction_version));
    }
    return append_it;
  }
  const bool of_client = context.origin == AppendOrigin::kClient;
  if (of_client && entry != nullptr && epoch == entry->epoch) {
    for (const ProducerBatch& earlier : entry->remembered()) {
      if (earlier.first_sequence() == batch.base_sequence() &&
          earlier.last_sequence == batch.last_sequence()) {
        return std::optional(earlier);
      }
    }
  }
  const bool in_transaction = entry != nullptr && entry->current_txn_first_offset >= 0;
  const Verification* verification = verifications_.find(batch.producer_id());
  if (of_client && verify && batch.is_transactional() &&
      !(in_transaction && epoch == entry->epoch) &&
      (verification == nullptr || verification->guard != context.guard)) {
    return Error{ErrorCode::kInvalidTxnState, "Record was not part of an ongoing transaction", 0};
  }
  if (entry != nullptr && epoch < entry->epoch) {
    return epoch_error(batch.producer_id(), epoch, " is below the last seen ", entry->epoch);
  }
  if (of_client) BARNABAS_TRY(check_sequence(batch, entry, verification));
  if (in_transaction && !batch.is_transactional()) {
    return Error{ErrorCode::kInvalidTxnState,
                 "producer " + std::to_string(batch.producer_id()) +
                     ": a batch outside the transaction that is open",
                 0};
  }
  return append_it;
}

Status ProducerState::check_marker(const record::BatchView& batch, ByteView head,
                                   const ProducerEntry& entry, int16_t transaction_version) {
  const int16_t epoch = batch.producer_epoch();
  if (epoch < entry.epoch)
    return epoch_error(batch.producer_id(), epoch, " is below the last seen ", entry.epoch);
  // A marker that was written before may come again, and epochs cannot grow for ever.
  const bool may_be_equal = transaction_version < 2 || entry.current_txn_first_offset < 0 ||
                            epoch == std::numeric_limits<int16_t>::max();
  if (epoch == entry.epoch && !may_be_equal) {
    return epoch_error(batch.producer_id(), epoch, " of a marker is not above the transaction's ",
                       entry.epoch);
  }
  const auto marker = record::parse_end_marker(batch, head);
  if (marker && marker->coordinator_epoch < entry.coordinator_epoch) {
    return Error{ErrorCode::kTransactionCoordinatorFenced,
                 "producer " + std::to_string(batch.producer_id()) + ": coordinator epoch " +
                     std::to_string(marker->coordinator_epoch) + " is below the last seen " +
                     std::to_string(entry.coordinator_epoch),
                 0};
  }
  return {};
}

Status ProducerState::check_sequence(const record::BatchView& batch, const ProducerEntry* entry,
                                     const Verification* verification) {
  const int32_t sequence = batch.base_sequence();
  if (verification != nullptr) {
    // Transactions v2 say which producers are new: one that is not known here has written nothing.
    if (verification->transactions_v2 && sequence != 0 &&
        (entry == nullptr || entry->batch_count == 0)) {
      return sequence_error(batch, "does not start a producer without earlier batches");
    }
    if (sequence > verification->lowest_sequence) {
      return sequence_error(batch, "comes before the lower one " +
                                       std::to_string(verification->lowest_sequence) +
                                       " that was to begin the transaction");
    }
  }
  // Nothing known (never seen, expired, or its records are gone): any first sequence is accepted.
  if (entry == nullptr) return {};
  if (batch.producer_epoch() != entry->epoch) {
    if (sequence == 0 || entry->epoch == record::kNoProducerEpoch) return {};
    return sequence_error(batch,
                          "does not start the new epoch " + std::to_string(batch.producer_epoch()));
  }
  const int32_t last = entry->batch_count > 0 ? entry->last().last_sequence : record::kNoSequence;
  if (in_sequence(last, sequence)) return {};
  return sequence_error(batch, "does not follow " + std::to_string(last));
}

std::optional<CompletedTransaction> ProducerState::apply(const record::BatchView& batch,
                                                         ByteView head, int64_t now_ms) {
  if (!batch.has_producer_id()) return std::nullopt;
  ProducerEntry& entry = producers_[batch.producer_id()];
  if (entry.epoch != batch.producer_epoch()) {
    entry.epoch = batch.producer_epoch();
    entry.batch_count = 0;
  }
  const bool append_time = batch.timestamp_type() == record::TimestampType::kLogAppendTime;
  entry.last_seen_ms = append_time ? batch.max_timestamp() : now_ms;
  if (batch.is_control()) {
    verifications_.end(batch.producer_id(), batch.producer_epoch());
    return end_transaction(batch, head, entry);
  }
  if (batch.is_transactional()) verifications_.erase(batch.producer_id());
  entry.add({batch.last_sequence(), batch.last_offset_delta(), batch.last_offset(),
             batch.max_timestamp()});
  if (batch.is_transactional() && entry.current_txn_first_offset < 0) {
    entry.current_txn_first_offset = batch.base_offset();
    ongoing_[batch.base_offset()] = batch.producer_id();
  }
  return std::nullopt;
}

std::optional<CompletedTransaction> ProducerState::end_transaction(const record::BatchView& batch,
                                                                   ByteView head,
                                                                   ProducerEntry& entry) {
  const auto marker = record::parse_end_marker(batch, head);
  if (!marker) return std::nullopt;  // emptied by compaction, and so is its transaction
  entry.coordinator_epoch = marker->coordinator_epoch;
  const int64_t first_offset = std::exchange(entry.current_txn_first_offset, -1);
  if (first_offset < 0) return std::nullopt;
  ongoing_.erase(first_offset);
  return CompletedTransaction{batch.producer_id(), first_offset, batch.base_offset(),
                              !marker->commit};
}

bool ProducerState::in_transaction(int64_t producer_id, int16_t epoch) const {
  const auto found = producers_.find(producer_id);
  return found != producers_.end() && found->second.epoch == epoch &&
         found->second.current_txn_first_offset >= 0;
}

Status ProducerState::check_epoch(int64_t producer_id, int16_t epoch) const {
  const auto found = producers_.find(producer_id);
  if (found == producers_.end() || epoch >= found->second.epoch) return {};
  return epoch_error(producer_id, epoch, " is below the last seen ", found->second.epoch);
}

int64_t ProducerState::first_unstable_offset() const {
  const int64_t ongoing = ongoing_.empty() ? INT64_MAX : ongoing_.begin()->first;
  return undecided_.empty() ? ongoing : std::min(ongoing, undecided_.begin()->first);
}

AbortedTransaction ProducerState::aborted(const CompletedTransaction& completed) const {
  return {completed.producer_id, completed.first_offset, completed.last_offset,
          ongoing_.empty() ? completed.last_offset + 1 : ongoing_.begin()->first};
}

void ProducerState::advance_high_watermark(int64_t high_watermark) {
  std::erase_if(undecided_, [high_watermark](const auto& transaction) {
    return transaction.second < high_watermark;
  });
}

std::vector<ProducerInfo> ProducerState::describe() const {
  std::vector<ProducerInfo> infos;
  infos.reserve(producers_.size());
  for (const auto& [producer_id, entry] : producers_) {
    infos.push_back({producer_id, entry.epoch,
                     entry.batch_count > 0 ? entry.last().last_sequence : record::kNoSequence,
                     entry.last_seen_ms, entry.coordinator_epoch, entry.current_txn_first_offset});
  }
  return infos;
}

void ProducerState::restore(int64_t producer_id, const ProducerEntry& entry) {
  producers_[producer_id] = entry;
  if (entry.current_txn_first_offset >= 0) {
    ongoing_[entry.current_txn_first_offset] = producer_id;
  }
}

void ProducerState::complete_from(const ProducerState& older) {
  for (auto& [producer_id, entry] : producers_) {
    const auto found = older.producers_.find(producer_id);
    if (found == older.producers_.end() || entry.batch_count == 0) continue;
    const ProducerEntry& known = found->second;
    if (known.batch_count > entry.batch_count && known.epoch == entry.epoch &&
        known.last().last_offset == entry.last().last_offset) {
      entry.batches = known.batches;
      entry.batch_count = known.batch_count;
    }
  }
}

bool ProducerState::partial() const {
  return std::any_of(producers_.begin(), producers_.end(), [](const auto& producer) {
    const size_t count = producer.second.batch_count;
    return count > 0 && count < kBatchesRemembered;
  });
}

bool ProducerState::incomplete() const {
  return std::any_of(producers_.begin(), producers_.end(), [](const auto& producer) {
    const ProducerEntry& entry = producer.second;
    if (entry.batch_count == 0 || entry.batch_count == kBatchesRemembered) return false;
    // Sequence 0 is a producer's first, unless it is the one after 2^31-1: then as many records of
    // its lie before it.
    const ProducerBatch& oldest = entry.batches[0];
    return oldest.first_sequence() > 0 || oldest.first_offset() > INT32_MAX;
  });
}

void ProducerState::remove_expired(int64_t now_ms, int64_t expiration_ms) {
  std::erase_if(producers_, [now_ms, expiration_ms](const auto& producer) {
    const ProducerEntry& entry = producer.second;
    return entry.current_txn_first_offset < 0 && now_ms - entry.last_seen_ms >= expiration_ms;
  });
  verifications_.remove_expired(now_ms, expiration_ms);
}

}  // namespace barnabas::storage
