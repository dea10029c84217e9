#include "storage/batch_filter.h"

#include "base/crc32c.h"
#include "base/planted.h"
#include "base/saturating.h"
#include "record/builder.h"
#include "record/codec.h"
#include "storage/stored_records.h"

namespace barnabas::storage {
namespace {

int64_t delete_horizon_of(const record::BatchView& batch) {
  return batch.has_delete_horizon() ? batch.base_timestamp() : record::kNoTimestamp;
}

}  // namespace

Result<BatchFilter::Outcome> BatchFilter::filter(const record::BatchView& batch) {
  const bool dispensable = transactions_.is_dispensable(batch);
  const bool past_horizon = batch.has_delete_horizon() && delete_horizon_of(batch) <= rules_.now_ms;
  const bool discard = dispensable && (!batch.is_control() || past_horizon);
  kept_.clear();
  bool has_tombstones = false;
  if (!discard) {
    BARNABAS_ASSIGN(const ByteView records, stored_records(batch, expanded_));
    record::RecordReader reader(records, batch.record_count());
    int32_t above = -1;
    while (true) {
      BARNABAS_ASSIGN(const auto record, reader.next());
      if (!record) break;
      if (record->offset_delta <= above || record->offset_delta > batch.last_offset_delta()) {
        return Error{ErrorCode::kCorruptMessage, "records that are out of order"};
      }
      above = record->offset_delta;
      if (!batch.is_control() && !is_needed(batch, *record)) continue;
      kept_.push_back(*record);
      has_tombstones = has_tombstones || !record->value;
    }
  }
  if (kept_.empty()) {
    const bool stays = batch.next_offset() == rules_.map_end_offset ||
                       (batch.has_producer_id() && is_last_of_producer(batch));
    return stays ? empty_batch(batch) : Outcome{};
  }
  const bool begins_horizon =
      !batch.has_delete_horizon() && (has_tombstones || (batch.is_control() && dispensable));
  if (begins_horizon)
    return rewrite(batch, saturating_add(rules_.now_ms, rules_.delete_retention_ms));
  if (kept_.size() == static_cast<size_t>(batch.record_count())) {
    return Outcome{batch.bytes(), batch.record_count()};
  }
  return rewrite(batch, delete_horizon_of(batch));
}

bool BatchFilter::is_last_of_producer(const record::BatchView& batch) const {
  const auto found = rules_.last_records.find(batch.producer_id());
  if (found == rules_.last_records.end()) return false;
  const LastRecord& last = found->second;
  if (last.last_data_offset >= 0) return batch.last_offset() == last.last_data_offset;
  return batch.is_control() && batch.producer_epoch() == last.producer_epoch;
}

bool BatchFilter::is_needed(const record::BatchView& batch,
                            const record::RecordView& record) const {
  const int64_t offset = batch.base_offset() + record.offset_delta;
  if (offset >= rules_.map_end_offset) return true;
  if (!record.key) return false;  // cannot be compacted; compacted topics refuse such records
  if (offset < rules_.map.get(*record.key)) return false;
  if (record.value && strikes<Bug::kLastValueDropped>(5)) return false;
  if (!record.value && strikes<Bug::kTombstoneDropped>()) return false;
  return record.value || !batch.has_delete_horizon() || rules_.now_ms < delete_horizon_of(batch);
}

Result<BatchFilter::Outcome> BatchFilter::rewrite(const record::BatchView& batch,
                                                  int64_t delete_horizon_ms) {
  record::BatchOptions options;
  options.codec = static_cast<record::Codec>(batch.codec_id());
  options.timestamp_type = batch.timestamp_type();
  options.producer_id = batch.producer_id();
  options.producer_epoch = batch.producer_epoch();
  options.base_sequence = batch.base_sequence();
  options.transactional = batch.is_transactional();
  options.control = batch.is_control();
  options.base_offset = batch.base_offset();
  options.leader_epoch = batch.leader_epoch();
  options.last_offset_delta = batch.last_offset_delta();
  options.delete_horizon_ms = delete_horizon_ms;
  record::BatchBuilder builder(options);
  const bool append_time = batch.timestamp_type() == record::TimestampType::kLogAppendTime;
  for (const record::RecordView& record : kept_) {
    builder.append_copy(record, append_time
                                    ? batch.max_timestamp()
                                    : wrapping_add(batch.base_timestamp(), record.timestamp_delta));
  }
  BARNABAS_ASSIGN(built_, builder.build());
  return Outcome{ByteView(built_), static_cast<int32_t>(kept_.size())};
}

BatchFilter::Outcome BatchFilter::empty_batch(const record::BatchView& batch) {
  const ByteView header = batch.bytes().first(record::kBatchHeaderSize);
  built_.assign(header.begin(), header.end());
  uint8_t* const p = built_.data();
  constexpr int16_t kKeptBits = record::attribute::kTimestampTypeBit |
                                record::attribute::kTransactionalBit |
                                record::attribute::kControlBit;
  store_be<int32_t>(p + record::field::kBatchLength,
                    static_cast<int32_t>(record::kBatchHeaderSize - record::kBatchOverhead));
  store_be<int16_t>(p + record::field::kAttributes,
                    static_cast<int16_t>(batch.attributes() & kKeptBits));
  store_be<int64_t>(p + record::field::kBaseTimestamp, record::kNoTimestamp);
  store_be<int32_t>(p + record::field::kRecordCount, 0);
  store_be<uint32_t>(p + record::field::kCrc, crc32c(record::BatchView(built_).crc_payload()));
  return {ByteView(built_), 0};
}

}  // namespace barnabas::storage
