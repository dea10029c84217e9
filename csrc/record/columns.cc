#include "record/columns.h"

#include <algorithm>

#include "record/codec.h"
#include "record/record.h"

namespace barnabas::record {
namespace {

constexpr size_t kMinRecordBytes = 7;  // a null key, a null value, no header

void reserve(RecordColumns& out, size_t records) {
  out.offsets.reserve(records);
  out.timestamps.reserve(records);
  out.keys.reserve(records);
  out.values.reserve(records);
  out.header_ends.reserve(records);
}

ColumnSlice slice_of(const ByteView& all, const std::optional<ByteView>& part) {
  if (!part) return {};
  return {part->data() - all.data(), static_cast<int32_t>(part->size())};
}

Status append_headers(RecordColumns& out, const RecordView& record) {
  HeaderReader reader(record);
  while (true) {
    BARNABAS_ASSIGN(const std::optional<HeaderView> header, reader.next());
    if (!header) break;
    out.header_keys.push_back(slice_of(out.bytes, header->key));
    out.header_values.push_back(slice_of(out.bytes, header->value));
  }
  out.header_ends.push_back(static_cast<int64_t>(out.header_keys.size()));
  return {};
}

}  // namespace

Result<RecordColumns> decode_columns(const BatchView& batch, size_t limit) {
  RecordColumns out;
  out.bytes = batch.records();
  if (batch.codec_id() != static_cast<uint8_t>(Codec::kNone) && batch.record_count() > 0) {
    BARNABAS_ASSIGN(out.expansion,
                    decompress(static_cast<Codec>(batch.codec_id()), batch.records(), limit));
    out.bytes = out.expansion;
  }
  const auto count = static_cast<size_t>(std::max(batch.record_count(), 0));
  reserve(out, std::min(count, out.bytes.size() / kMinRecordBytes));
  const bool log_append_time = batch.timestamp_type() == TimestampType::kLogAppendTime;
  RecordReader reader(out.bytes, batch.record_count());
  while (true) {
    BARNABAS_ASSIGN(const std::optional<RecordView> record, reader.next());
    if (!record) break;
    int64_t offset = 0;
    if (__builtin_add_overflow(batch.base_offset(), int64_t{record->offset_delta}, &offset)) {
      return Error{ErrorCode::kCorruptMessage, "a record's offset is beyond 64 bits", 0};
    }
    out.offsets.push_back(offset);
    out.timestamps.push_back(
        log_append_time ? batch.max_timestamp()
                        : static_cast<int64_t>(static_cast<uint64_t>(batch.base_timestamp()) +
                                               static_cast<uint64_t>(record->timestamp_delta)));
    out.keys.push_back(slice_of(out.bytes, record->key));
    out.values.push_back(slice_of(out.bytes, record->value));
    BARNABAS_TRY(append_headers(out, *record));
  }
  return out;
}

}  // namespace barnabas::record
