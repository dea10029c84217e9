#include "record/builder.h"

#include <algorithm>
#include <cassert>
#include <cstring>
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

Status check_size(const RawArray<uint8_t>& batch) {
  if (batch.size() - kBatchOverhead <= INT32_MAX) return {};
  return Error{ErrorCode::kRecordListTooLarge, "the batch would exceed 2^31-1 bytes"};
}

}  // namespace

BatchBuilder::BatchBuilder(BatchOptions options) : options_(options) {}

void BatchBuilder::append_unlike(int32_t offset_delta, int64_t timestamp_delta,
                                 const std::optional<ByteView>& key,
                                 const std::optional<ByteView>& value,
                                 std::span<const HeaderView> headers) {
  const size_t start = plain_.size();
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
  if (headers.empty()) mould(offset_delta, timestamp_delta, key, value, start);
}

void BatchBuilder::mould(int32_t offset_delta, int64_t timestamp_delta,
                         const std::optional<ByteView>& key, const std::optional<ByteView>& value,
                         size_t start) {
  const int64_t key_size = size_or_null(key);
  const int64_t value_size = size_or_null(value);
  const bool again = mould_.key_size == key_size && mould_.value_size == value_size &&
                     mould_.timestamp_delta == timestamp_delta;
  mould_.key_size = key_size;
  mould_.value_size = value_size;
  mould_.timestamp_delta = timestamp_delta;
  mould_.offsets_begin = mould_.offsets_end = 0;
  if (!again) return;
  const auto size_of = [](int64_t number) {
    return static_cast<size_t>(uvarint_size(zigzag_encode(number)));
  };
  const uint8_t* const record = plain_.data() + start;
  const size_t record_size = plain_.size() - start;
  const size_t tail_at =
      record_size - 1 - static_cast<size_t>(std::max<int64_t>(value_size, 0)) - size_of(value_size);
  const size_t head_size = tail_at - static_cast<size_t>(std::max<int64_t>(key_size, 0));
  const size_t offset_size = size_of(offset_delta);
  // The largest ones do not fit the bits of an int32.
  if (head_size > sizeof mould_.head || offset_size >= size_t{kMaxVarint32Bytes}) return;
  mould_.record_size = record_size;
  mould_.head_size = head_size;
  mould_.offset_at = head_size - size_of(key_size) - offset_size;
  mould_.tail_size = size_of(value_size);
  std::memcpy(mould_.head.data(), record, head_size);
  std::memcpy(mould_.tail.data(), record + tail_at, mould_.tail_size);
  mould_.offsets_begin = offset_size == 1 ? 0 : 1 << (7 * (offset_size - 1) - 1);
  mould_.offsets_end = 1 << (7 * offset_size - 1);
}

void BatchBuilder::append_copy(const RecordView& record, int64_t timestamp) {
  const int64_t timestamp_delta = count_in(record.offset_delta, timestamp, record.key.has_value());
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

void BatchBuilder::begin(int64_t timestamp) {
  plain_.resize(kBatchHeaderSize);
  base_timestamp_ = options_.delete_horizon_ms >= 0 ? options_.delete_horizon_ms : timestamp;
  min_timestamp_ = max_timestamp_ = timestamp;
  has_null_keys_ = false;
}

uint8_t* BatchBuilder::add_record(size_t body_size) {
  const size_t start = plain_.size();
  const auto length = static_cast<int64_t>(body_size);
  const size_t size = static_cast<size_t>(uvarint_size(zigzag_encode(length))) + body_size;
  plain_.reserve_more(size);
  plain_.resize(start + size);
  return write_length(plain_.data() + start, length);
}

Result<std::vector<uint8_t>> BatchBuilder::build() {
  BARNABAS_ASSIGN(const BuiltBatch batch, seal());
  return std::vector<uint8_t>(batch.bytes.begin(), batch.bytes.end());
}

Result<BuiltBatch> BatchBuilder::seal() {
  auto batch = encode();
  if (!batch.ok()) {
    restart();
    plain_ = RawArray<uint8_t>();  // it may be what was too large
    return std::move(batch).error();
  }
  const MutableBytes bytes((*batch)->data(), (*batch)->size());
  write_header(bytes);
  restart();
  return BuiltBatch{bytes, plain_.size() - kBatchHeaderSize, min_timestamp_, max_timestamp_,
                    has_null_keys_};
}

void BatchBuilder::restart() {
  count_ = 0;
  last_offset_delta_ = -1;
}

Result<RawArray<uint8_t>*> BatchBuilder::encode() {
  assert(count_ > 0);
  // What it expands to has to fit, too: a reader has 32 bits for the length of a record.
  BARNABAS_TRY(check_size(plain_));
  RawArray<uint8_t>* batch = &plain_;
  if (options_.codec != Codec::kNone) {
    BARNABAS_ASSIGN(
        const std::vector<uint8_t> block,
        compress(options_.codec, ByteView(plain_.data(), plain_.size()).subspan(kBatchHeaderSize),
                 options_.level));
    compressed_.resize(kBatchHeaderSize + block.size());
    std::copy(block.begin(), block.end(), compressed_.begin() + kBatchHeaderSize);
    batch = &compressed_;
    BARNABAS_TRY(check_size(compressed_));
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
