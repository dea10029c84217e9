#include "record/builder.h"

#include <algorithm>
#include <cassert>
#include <utility>

#include "base/crc32c.h"
#include "base/varint.h"

namespace barnabas::record {
namespace {

size_t nullable_size(const std::optional<ByteView>& bytes) {
  if (!bytes) return 1;
  return static_cast<size_t>(uvarint_size(zigzag_encode(static_cast<int64_t>(bytes->size())))) +
         bytes->size();
}

uint8_t* write_length(uint8_t* p, int64_t length) {
  return write_uvarint(p, zigzag_encode(length));
}

uint8_t* write_nullable(uint8_t* p, const std::optional<ByteView>& bytes) {
  if (!bytes) return write_length(p, -1);
  p = write_length(p, static_cast<int64_t>(bytes->size()));
  return std::copy(bytes->begin(), bytes->end(), p);
}

}  // namespace

BatchBuilder::BatchBuilder(BatchOptions options) : options_(options) {}

void BatchBuilder::append(int64_t timestamp, std::optional<ByteView> key,
                          std::optional<ByteView> value, std::span<const HeaderView> headers) {
  append_at(last_offset_delta_ + 1, timestamp, key, value, headers);
}

void BatchBuilder::append_at(int32_t offset_delta, int64_t timestamp, std::optional<ByteView> key,
                             std::optional<ByteView> value, std::span<const HeaderView> headers) {
  const int64_t timestamp_delta = count_in(offset_delta, timestamp);
  size_t body_size = 1 + static_cast<size_t>(uvarint_size(zigzag_encode(timestamp_delta))) +
                     static_cast<size_t>(uvarint_size(zigzag_encode(offset_delta))) +
                     nullable_size(key) + nullable_size(value);
  const auto header_count = static_cast<int64_t>(headers.size());
  body_size += static_cast<size_t>(uvarint_size(zigzag_encode(header_count)));
  for (const HeaderView& header : headers) {
    body_size += nullable_size(header.key) + nullable_size(header.value);
  }

  uint8_t* p = add_record(body_size);
  *p++ = 0;  // attributes
  p = write_uvarint(p, zigzag_encode(timestamp_delta));
  p = write_uvarint(p, zigzag_encode(offset_delta));
  p = write_nullable(p, key);
  p = write_nullable(p, value);
  p = write_length(p, header_count);
  for (const HeaderView& header : headers) {
    p = write_nullable(p, header.key);
    p = write_nullable(p, header.value);
  }
  assert(p == plain_.data() + plain_.size());
}

void BatchBuilder::append_copy(const RecordView& record, int64_t timestamp) {
  const int64_t timestamp_delta = count_in(record.offset_delta, timestamp);
  const int64_t header_count = record.header_count;
  uint8_t* p = add_record(1 + static_cast<size_t>(uvarint_size(zigzag_encode(timestamp_delta))) +
                          static_cast<size_t>(uvarint_size(zigzag_encode(record.offset_delta))) +
                          nullable_size(record.key) + nullable_size(record.value) +
                          static_cast<size_t>(uvarint_size(zigzag_encode(header_count))) +
                          record.headers.size());
  *p++ = 0;  // attributes
  p = write_uvarint(p, zigzag_encode(timestamp_delta));
  p = write_uvarint(p, zigzag_encode(record.offset_delta));
  p = write_nullable(p, record.key);
  p = write_nullable(p, record.value);
  p = write_length(p, header_count);
  std::copy(record.headers.begin(), record.headers.end(), p);
}

int64_t BatchBuilder::count_in(int32_t offset_delta, int64_t timestamp) {
  assert(offset_delta > last_offset_delta_);
  if (count_ == 0) {
    plain_.resize(kBatchHeaderSize);
    base_timestamp_ = options_.delete_horizon_ms >= 0 ? options_.delete_horizon_ms : timestamp;
    max_timestamp_ = timestamp;
  }
  ++count_;
  last_offset_delta_ = offset_delta;
  max_timestamp_ = std::max(max_timestamp_, timestamp);
  // Wraps like Java's long: a reader adds the delta back the same way.
  return static_cast<int64_t>(static_cast<uint64_t>(timestamp) -
                              static_cast<uint64_t>(base_timestamp_));
}

uint8_t* BatchBuilder::add_record(size_t body_size) {
  const size_t start = plain_.size();
  const auto length = static_cast<int64_t>(body_size);
  plain_.resize(start + static_cast<size_t>(uvarint_size(zigzag_encode(length))) + body_size);
  return write_length(plain_.data() + start, length);
}

Result<std::vector<uint8_t>> BatchBuilder::build() {
  BARNABAS_ASSIGN(std::vector<uint8_t>* const batch, encode());
  write_header(*batch);
  count_ = 0;
  last_offset_delta_ = -1;
  return std::exchange(*batch, {});
}

Result<MutableBytes> BatchBuilder::seal() {
  BARNABAS_ASSIGN(std::vector<uint8_t>* const batch, encode());
  write_header(*batch);
  count_ = 0;
  last_offset_delta_ = -1;
  return MutableBytes(*batch);
}

Result<std::vector<uint8_t>*> BatchBuilder::encode() {
  assert(count_ > 0);
  std::vector<uint8_t>* batch = &plain_;
  if (options_.codec != Codec::kNone) {
    BARNABAS_ASSIGN(
        const std::vector<uint8_t> block,
        compress(options_.codec, ByteView(plain_).subspan(kBatchHeaderSize), options_.level));
    compressed_.resize(kBatchHeaderSize);
    compressed_.insert(compressed_.end(), block.begin(), block.end());
    batch = &compressed_;
  }
  if (batch->size() - kBatchOverhead > INT32_MAX) {
    return Error{ErrorCode::kRecordListTooLarge, "the batch would exceed 2^31-1 bytes"};
  }
  return batch;
}

void BatchBuilder::write_header(MutableBytes batch) const {
  auto attributes = static_cast<int16_t>(options_.codec);
  if (options_.timestamp_type == TimestampType::kLogAppendTime) {
    attributes |= attribute::kTimestampTypeBit;
  }
  if (options_.transactional) attributes |= attribute::kTransactionalBit;
  if (options_.control) attributes |= attribute::kControlBit;
  if (options_.delete_horizon_ms >= 0) attributes |= attribute::kDeleteHorizonBit;

  uint8_t* const p = batch.data();
  store_be<int64_t>(p + field::kBaseOffset, options_.base_offset);
  store_be<int32_t>(p + field::kBatchLength, static_cast<int32_t>(batch.size() - kBatchOverhead));
  store_be<int32_t>(p + field::kLeaderEpoch, options_.leader_epoch);
  store_be<int8_t>(p + field::kMagicByte, kMagic);
  store_be<int16_t>(p + field::kAttributes, attributes);
  store_be<int32_t>(p + field::kLastOffsetDelta,
                    std::max(options_.last_offset_delta, last_offset_delta_));
  store_be<int64_t>(p + field::kBaseTimestamp, base_timestamp_);
  store_be<int64_t>(p + field::kMaxTimestamp, max_timestamp_);
  store_be<int64_t>(p + field::kProducerId, options_.producer_id);
  store_be<int16_t>(p + field::kProducerEpoch, options_.producer_epoch);
  store_be<int32_t>(p + field::kBaseSequence, options_.base_sequence);
  store_be<int32_t>(p + field::kRecordCount, count_);
  store_be<uint32_t>(p + field::kCrc, crc32c(BatchView(batch).crc_payload()));
}

}  // namespace barnabas::record
