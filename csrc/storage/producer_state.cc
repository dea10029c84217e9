#include "storage/producer_state.h"

#include <algorithm>
#include <string>

#include "record/record.h"

namespace barnabas::storage {
namespace {

/// The coordinator epoch in a transaction marker: a record whose value is version int16 and
/// coordinator epoch int32.
std::optional<int32_t> marker_coordinator_epoch(const record::BatchView& batch, ByteView head) {
  constexpr size_t kMarkerValueBytes = 6;
  if (batch.codec_id() != 0 || head.size() < record::kBatchHeaderSize) return std::nullopt;
  record::RecordReader reader(head.subspan(record::kBatchHeaderSize), batch.record_count());
  const auto marker = reader.next();
  if (!marker.ok() || !*marker || !(*marker)->value) return std::nullopt;
  const ByteView value = *(*marker)->value;
  if (value.size() < kMarkerValueBytes) return std::nullopt;
  return load_be<int32_t>(value.data() + 2);
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

Result<std::optional<ProducerBatch>> ProducerState::check(const record::BatchView& batch) const {
  const auto found = producers_.find(batch.producer_id());
  // Nothing known (never seen, expired, or its records are gone): any first sequence is accepted.
  if (found == producers_.end()) return std::optional<ProducerBatch>();
  const ProducerEntry& entry = found->second;
  const int16_t epoch = batch.producer_epoch();
  if (epoch < entry.epoch) {
    return Error{ErrorCode::kInvalidProducerEpoch,
                 "producer " + std::to_string(batch.producer_id()) + ": epoch " +
                     std::to_string(epoch) + " is below the last seen " +
                     std::to_string(entry.epoch),
                 0};
  }
  if (epoch == entry.epoch) {
    for (const ProducerBatch& earlier : entry.remembered()) {
      if (earlier.first_sequence() == batch.base_sequence() &&
          earlier.last_sequence == batch.last_sequence()) {
        return std::optional(earlier);
      }
    }
    const int32_t last = entry.batch_count > 0 ? entry.last().last_sequence : record::kNoSequence;
    if (!in_sequence(last, batch.base_sequence())) {
      return sequence_error(batch, "does not follow " + std::to_string(last));
    }
  } else if (batch.base_sequence() != 0 && entry.epoch != record::kNoProducerEpoch) {
    return sequence_error(batch, "does not start the new epoch " + std::to_string(epoch));
  }
  if (entry.current_txn_first_offset >= 0 && !batch.is_transactional()) {
    return Error{ErrorCode::kInvalidTxnState,
                 "producer " + std::to_string(batch.producer_id()) +
                     ": a batch outside the transaction that is open",
                 0};
  }
  return std::optional<ProducerBatch>();
}

void ProducerState::apply(const record::BatchView& batch, ByteView head, int64_t now_ms) {
  if (!batch.has_producer_id()) return;
  ProducerEntry& entry = producers_[batch.producer_id()];
  if (entry.epoch != batch.producer_epoch()) {
    entry.epoch = batch.producer_epoch();
    entry.batch_count = 0;
  }
  const bool append_time = batch.timestamp_type() == record::TimestampType::kLogAppendTime;
  entry.last_seen_ms = append_time ? batch.max_timestamp() : now_ms;
  if (batch.is_control()) {
    entry.current_txn_first_offset = -1;
    const auto coordinator_epoch = marker_coordinator_epoch(batch, head);
    if (coordinator_epoch) entry.coordinator_epoch = *coordinator_epoch;
    return;
  }
  entry.add({batch.last_sequence(), batch.last_offset_delta(), batch.last_offset(),
             batch.max_timestamp()});
  if (batch.is_transactional() && entry.current_txn_first_offset < 0) {
    entry.current_txn_first_offset = batch.base_offset();
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
    return oldest.first_sequence() != 0 || oldest.first_offset() > INT32_MAX;
  });
}

void ProducerState::remove_expired(int64_t now_ms, int64_t expiration_ms) {
  std::erase_if(producers_, [now_ms, expiration_ms](const auto& producer) {
    const ProducerEntry& entry = producer.second;
    return entry.current_txn_first_offset < 0 && now_ms - entry.last_seen_ms >= expiration_ms;
  });
}

}  // namespace barnabas::storage
