#include "record/validate.h"

#include <cstring>

#include "base/crc32c.h"
#include "record/builder.h"
#include "record/codec.h"
#include "record/record_checker.h"

namespace barnabas::record {
namespace {

constexpr int32_t kMinLegacyBatchLength = 14;  // of magic 0, the smallest there ever was

Error refused(ErrorCode code, const ValidationPolicy& policy, const std::string& what) {
  return Error{code, what + in_partition(policy)};
}

/// Finds the one v2 batch that `records` must be.
Result<BatchView> only_batch(ByteView records, const ValidationPolicy& policy) {
  if (records.size() <= field::kMagicByte) {
    return refused(ErrorCode::kInvalidRecord, policy, "There is no whole record batch");
  }
  const auto length = load_be<int32_t>(records.data() + field::kBatchLength);
  const auto magic = load_be<int8_t>(records.data() + field::kMagicByte);
  if (length < kMinLegacyBatchLength) {
    return refused(ErrorCode::kCorruptMessage, policy,
                   "Batch length " + std::to_string(length) + " is less than any batch's");
  }
  if (magic == 0 || magic == 1) {
    return refused(ErrorCode::kInvalidRecord, policy,
                   "Only record batches with magic version 2 are allowed, this one has " +
                       std::to_string(magic));
  }
  if (magic != kMagic) {
    return refused(ErrorCode::kCorruptMessage, policy,
                   "Invalid magic found in record batch: " + std::to_string(magic));
  }
  const size_t size = kBatchOverhead + static_cast<size_t>(length);
  if (size < kBatchHeaderSize) {
    return refused(ErrorCode::kCorruptMessage, policy,
                   "Batch length " + std::to_string(length) + " is less than a batch header's");
  }
  if (size > records.size()) {
    return refused(ErrorCode::kInvalidRecord, policy,
                   "There is no whole record batch: it announces " + std::to_string(size) +
                       " bytes, of which " + std::to_string(records.size()) + " are there");
  }
  if (size < records.size()) {
    const bool another = peek_batch(records.subspan(size)).has_value();
    return another ? refused(ErrorCode::kInvalidRecord, policy,
                             "There is more than one record batch, where one is allowed")
                   : refused(ErrorCode::kCorruptMessage, policy,
                             std::to_string(records.size() - size) +
                                 " bytes are left over after the record batch");
  }
  return BatchView(records);
}

Status check_producer(const BatchView& batch, const ValidationPolicy& policy) {
  if (!batch.has_producer_id()) {
    if (!batch.is_transactional()) return {};
    return refused(ErrorCode::kInvalidRecord, policy, "Transactional batch without a producer id");
  }
  const std::string producer =
      " in record batch with producerId " + std::to_string(batch.producer_id());
  if (batch.producer_epoch() < 0) {
    return refused(ErrorCode::kInvalidRecord, policy,
                   "Invalid producer epoch " + std::to_string(batch.producer_epoch()) + producer);
  }
  // Markers, which the broker itself writes, have no sequence.
  if (batch.base_sequence() < 0 && policy.from_client) {
    return refused(ErrorCode::kInvalidRecord, policy,
                   "Invalid sequence number " + std::to_string(batch.base_sequence()) + producer);
  }
  return {};
}

/// A producer that says LogAppendTime. As in Kafka, where the topic has CreateTime the batch counts
/// as if its records had the header's time, and is stored as one of CreateTime, with that time as
/// its largest, whatever the records say.
bool claims_append_time(const BatchView& batch) {
  return batch.timestamp_type() == TimestampType::kLogAppendTime;
}

Status check_claim(int64_t timestamp, const ValidationPolicy& policy, const TimestampRange& range) {
  if (policy.timestamp_type == TimestampType::kLogAppendTime || timestamp == kNoTimestamp) {
    return refused(ErrorCode::kInvalidTimestamp, policy,
                   "Producer should not set timestamp type to LogAppendTime");
  }
  if (timestamp >= range.earliest && timestamp <= range.latest) return {};
  return refused(ErrorCode::kInvalidTimestamp, policy,
                 "Timestamp " + std::to_string(timestamp) +
                     " is out of range. The timestamp should be within [" +
                     std::to_string(range.earliest) + ", " + std::to_string(range.latest) + "]");
}

/// What can be told from the header alone; size and CRC come first, so that a damaged batch is
/// called damaged and not wrong.
Status check_header(const BatchView& batch, const ValidationPolicy& policy) {
  if (batch.size_bytes() > static_cast<size_t>(policy.max_message_bytes)) {
    return refused(ErrorCode::kMessageTooLarge, policy,
                   "The record batch size is " + std::to_string(batch.size_bytes()) +
                       " bytes, which exceeds the maximum configured value of " +
                       std::to_string(policy.max_message_bytes));
  }
  if (crc32c(batch.crc_payload()) != batch.crc()) {
    return refused(ErrorCode::kCorruptMessage, policy,
                   "Record is corrupt (stored crc = " + std::to_string(batch.crc()) + ")");
  }
  if (policy.from_client && batch.base_offset() != 0) {
    return refused(ErrorCode::kInvalidRecord, policy,
                   "The baseOffset of the record batch should be 0, but it is " +
                       std::to_string(batch.base_offset()));
  }
  if (batch.last_offset_delta() < 0) {
    return refused(
        ErrorCode::kInvalidRecord, policy,
        "Batch has an invalid last offset delta: " + std::to_string(batch.last_offset_delta()));
  }
  if (batch.record_count() <= 0) {
    return refused(
        ErrorCode::kInvalidRecord, policy,
        "Invalid reported count for record batch: " + std::to_string(batch.record_count()));
  }
  if (batch.record_count() - 1 != batch.last_offset_delta()) {
    return refused(ErrorCode::kInvalidRecord, policy,
                   "Inconsistent last offset delta " + std::to_string(batch.last_offset_delta()) +
                       " and count of records " + std::to_string(batch.record_count()));
  }
  if (batch.is_control() && policy.from_client) {
    return refused(ErrorCode::kInvalidRecord, policy,
                   "Clients are not allowed to write control records");
  }
  if (batch.has_delete_horizon()) {
    return refused(ErrorCode::kInvalidRecord, policy,
                   "The delete horizon of a batch is set by compaction alone");
  }
  if (batch.codec_id() > static_cast<uint8_t>(Codec::kZstd)) {
    return refused(ErrorCode::kUnsupportedCompressionType, policy,
                   "Unknown compression codec " + std::to_string(batch.codec_id()));
  }
  return check_producer(batch, policy);
}

void seal(MutableBytes bytes) {
  store_be<uint32_t>(bytes.data() + field::kCrc, crc32c(BatchView(bytes).crc_payload()));
}

/// Puts the timestamps that the topic wants into the header; the CRC follows only if they changed.
void stamp(ValidatedBatch& out, const ValidationPolicy& policy, int64_t now_ms) {
  const BatchView batch(out.bytes);
  uint8_t* const p = out.bytes.data();
  if (policy.timestamp_type == TimestampType::kLogAppendTime) {
    out.max_timestamp = now_ms;
    out.max_timestamp_offset_delta = 0;
    const auto attributes = static_cast<int16_t>(batch.attributes() | attribute::kTimestampTypeBit);
    store_be<int16_t>(p + field::kAttributes, attributes);
  } else if (claims_append_time(batch)) {
    const auto attributes =
        static_cast<int16_t>(batch.attributes() & ~attribute::kTimestampTypeBit);
    store_be<int16_t>(p + field::kAttributes, attributes);
  } else if (batch.max_timestamp() == out.max_timestamp) {
    return;
  }
  store_be<int64_t>(p + field::kMaxTimestamp, out.max_timestamp);
  seal(out.bytes);
}

/// The batch with its records in another codec; everything else stays as the producer set it.
Result<std::vector<uint8_t>> reencode(const BatchView& batch, ByteView records,
                                      const ValidationPolicy& policy) {
  BARNABAS_ASSIGN(const std::vector<uint8_t> block,
                  compress(policy.target_codec, records, policy.target_level));
  const size_t size = kBatchHeaderSize + block.size();
  if (size > static_cast<size_t>(policy.max_message_bytes)) {
    return refused(ErrorCode::kMessageTooLarge, policy,
                   "Message batch size is " + std::to_string(size) +
                       " bytes after compression, which exceeds the maximum configured size of " +
                       std::to_string(policy.max_message_bytes));
  }
  std::vector<uint8_t> out(size);
  std::memcpy(out.data(), batch.bytes().data(), kBatchHeaderSize);
  std::memcpy(out.data() + kBatchHeaderSize, block.data(), block.size());
  const auto attributes = static_cast<int16_t>((batch.attributes() & ~attribute::kCodecMask) |
                                               static_cast<int16_t>(policy.target_codec));
  store_be<int16_t>(out.data() + field::kAttributes, attributes);
  store_be<int32_t>(out.data() + field::kBatchLength, static_cast<int32_t>(size - kBatchOverhead));
  seal(out);
  return out;
}

bool wants_reencoding(const BatchView& batch, Codec source, const ValidationPolicy& policy) {
  if (!policy.recompress || source == policy.target_codec) return false;
  return !(batch.is_control() && source == Codec::kNone);
}

int64_t expansion_limit(const ValidationPolicy& policy) {
  return policy.max_decompressed_bytes > 0
             ? policy.max_decompressed_bytes
             : default_max_decompressed_bytes(policy.max_message_bytes);
}

/// The records' check, and their re-encoding into `out` where the topic asks for it.
Status check_records(const BatchView& batch, const ValidationPolicy& policy, RecordChecker& checker,
                     ValidatedBatch& out) {
  const auto source = static_cast<Codec>(batch.codec_id());
  const int64_t limit = expansion_limit(policy);
  if (!wants_reencoding(batch, source, policy)) {
    if (source == Codec::kNone) return checker.check_records(batch.records());
    return checker.check_compressed_records(source, batch.records(), static_cast<uint64_t>(limit),
                                            out.expanded_bytes);
  }
  std::vector<uint8_t> expansion;
  ByteView records = batch.records();
  if (source != Codec::kNone) {
    auto expanded = decompress(source, records, static_cast<size_t>(limit));
    if (!expanded.ok()) {
      Error error = std::move(expanded).error();
      out.expanded_bytes = static_cast<uint64_t>(limit) + 1;
      // As in RecordChecker: the CRC was right, so a retry cannot help.
      if (error.code == ErrorCode::kCorruptMessage) error.code = ErrorCode::kInvalidRecord;
      return error;
    }
    expansion = std::move(expanded).value();
    records = expansion;
  }
  out.expanded_bytes = records.size();
  if (records.size() > static_cast<size_t>(limit)) {
    return refused(ErrorCode::kMessageTooLarge, policy,
                   "There is too much to compress: more than " + std::to_string(limit) + " bytes");
  }
  BARNABAS_TRY(checker.check_records(records));
  BARNABAS_TRY(checker.verdict());
  BARNABAS_ASSIGN(out.rewritten, reencode(batch, records, policy));
  out.bytes = out.rewritten;
  return {};
}

Status validate(MutableBytes records, const ValidationPolicy& policy, int64_t now_ms,
                ValidatedBatch& out, std::vector<RecordError>& record_errors) {
  BARNABAS_ASSIGN(const BatchView batch, only_batch(records, policy));
  BARNABAS_TRY(check_header(batch, policy));
  out.bytes = records;
  const TimestampRange range = timestamp_range(policy, now_ms);
  const bool is_claim = claims_append_time(batch);
  const int64_t claimed = batch.max_timestamp();
  RecordChecker checker(policy, batch, is_claim ? TimestampRange{} : range);
  Status status = check_records(batch, policy, checker, out);
  if (status.ok() && is_claim) status = check_claim(claimed, policy, range);
  if (status.ok()) status = checker.verdict();
  if (!status.ok()) {
    record_errors = checker.take_errors();
    return status;
  }
  out.max_timestamp = checker.max_timestamp();
  out.max_timestamp_offset_delta = checker.max_timestamp_offset_delta();
  if (is_claim) {
    out.max_timestamp = std::max(claimed, kNoTimestamp);
    out.max_timestamp_offset_delta = 0;
  }
  stamp(out, policy, now_ms);
  return {};
}

}  // namespace

bool is_good_as_built(const BuiltBatch& built, const ValidationPolicy& policy, int64_t now_ms) {
  const BatchView batch(built.bytes);
  const TimestampRange range = timestamp_range(policy, now_ms);
  return batch.size_bytes() <= static_cast<size_t>(policy.max_message_bytes) &&
         built.expanded_bytes <= static_cast<size_t>(expansion_limit(policy)) &&
         policy.timestamp_type == TimestampType::kCreateTime &&
         batch.timestamp_type() == TimestampType::kCreateTime &&
         built.min_timestamp >= range.earliest && built.max_timestamp <= range.latest &&
         !(policy.compacted && built.has_null_keys) && batch.base_offset() == 0 &&
         batch.record_count() - 1 == batch.last_offset_delta() && !batch.is_control() &&
         !batch.has_delete_horizon() && check_producer(batch, policy).ok() &&
         !wants_reencoding(batch, static_cast<Codec>(batch.codec_id()), policy);
}

std::variant<ValidatedBatch, ValidationFailure> validate_batch(MutableBytes records,
                                                               const ValidationPolicy& policy,
                                                               int64_t now_ms) {
  ValidatedBatch batch;
  ValidationFailure failure;
  Status status = validate(records, policy, now_ms, batch, failure.record_errors);
  if (status.ok()) return batch;
  failure.error = std::move(status).error();
  failure.expanded_bytes = batch.expanded_bytes;
  return failure;
}

}  // namespace barnabas::record
