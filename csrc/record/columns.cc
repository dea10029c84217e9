#include "record/columns.h"

#include <algorithm>
#include <utility>

#include "record/codec.h"
#include "record/record_parser.h"
#include "record/record_shape.h"

namespace barnabas::record {
namespace {

constexpr size_t kMinRecordBytes = 7;  // a null key, a null value, no header

Error invalid_record(const char* what) { return Error{ErrorCode::kInvalidRecord, what}; }

/// Appends the records of one block of bytes.
class BlockDecoder {
 public:
  BlockDecoder(RecordColumns& out, int32_t buffer)
      : out_(out), buffer_(buffer), base_(out.buffers[static_cast<size_t>(buffer)].data()) {}

  void push(BinaryColumn& column, const uint8_t* p, int32_t length) {
    if (length < 0) {
      column.push_null();
    } else {
      column.push(p, length, buffer_, static_cast<int32_t>(p - base_));
    }
  }

  void push_headers(const RecordFields& record) {
    if (record.header_count != 0) {
      // The records before had none.
      if (out_.header_ends.empty()) out_.header_ends.assign(out_.offsets.size() - 1, 0);
      push_headers(record.headers, record.end, record.header_count);
    } else if (out_.header_ends.empty()) {
      return;
    }
    out_.header_ends.push_back(static_cast<int64_t>(out_.header_keys.size()));
  }

 private:
  // REQUIRES: parse_record() has found them well-formed
  void push_headers(const uint8_t* p, const uint8_t* end, int32_t count) {
    for (; count > 0; --count) {
      int32_t length = 0;
      p = read_varint(p, end, length);
      push(out_.header_keys, p, length);
      p = read_varint(p + length, end, length);
      push(out_.header_values, p, length);
      p += std::max(length, 0);
    }
  }

  RecordColumns& out_;
  const int32_t buffer_;
  const uint8_t* const base_;
};

void reserve(RecordColumns& out, size_t records) {
  out.offsets.reserve_more(records);
  out.timestamps.reserve_more(records);
  out.values.reserve_values(records);
}

}  // namespace

void RecordColumns::clear() {
  buffers.clear();
  offsets.clear();
  timestamps.clear();
  keys.clear();
  values.clear();
  header_ends.clear();
  header_keys.clear();
  header_values.clear();
  expansions.clear();
}

size_t RecordColumns::capacity_bytes() const {
  return (offsets.capacity() + timestamps.capacity() + header_ends.capacity()) * sizeof(int64_t) +
         keys.capacity_bytes() + values.capacity_bytes() + header_keys.capacity_bytes() +
         header_values.capacity_bytes();
}

// Flattened: what a call costs here, every record pays.
[[gnu::flatten]] Status append_columns(RecordColumns& out, const BatchView& batch, int32_t buffer,
                                       const DecodeOptions& options) {
  if (batch.record_count() < 0) return invalid_record("the record count is negative");
  ByteView block = batch.records();
  if (batch.codec_id() != static_cast<uint8_t>(Codec::kNone) && batch.record_count() > 0) {
    BARNABAS_ASSIGN(std::vector<uint8_t> expansion,
                    decompress(static_cast<Codec>(batch.codec_id()), block,
                               std::min<size_t>(options.expansion_limit, INT32_MAX)));
    block = out.expansions.emplace_back(std::move(expansion));
    buffer = static_cast<int32_t>(out.buffers.size());
    out.buffers.push_back(block);
  }
  const auto count = static_cast<size_t>(batch.record_count());
  reserve(out, std::min(count, block.size() / kMinRecordBytes));
  const bool log_append_time = batch.timestamp_type() == TimestampType::kLogAppendTime;
  const int64_t base_offset = batch.base_offset();
  const auto base_timestamp = static_cast<uint64_t>(batch.base_timestamp());
  BlockDecoder decoder(out, buffer);
  const uint8_t* p = block.data();
  const uint8_t* const end = p + block.size();
  RecordShape shape;
  RecordFields record;
  for (size_t i = 0; i < count; ++i) {
    if (!shape.parse(p, end, record)) {
      const uint8_t* const begin = p;
      if (const ParseError error = parse_record(p, end, record)) return invalid_record(error);
      shape.learn(begin, record);
    }
    int64_t offset = 0;
    if (__builtin_add_overflow(base_offset, int64_t{record.offset_delta}, &offset)) {
      return Error{ErrorCode::kCorruptMessage, "a record's offset is beyond 64 bits", 0};
    }
    if (offset < options.from_offset) continue;
    out.offsets.push_back(offset);
    out.timestamps.push_back(
        log_append_time
            ? batch.max_timestamp()
            : static_cast<int64_t>(base_timestamp + static_cast<uint64_t>(record.timestamp_delta)));
    decoder.push(out.keys, record.key, record.key_length);
    decoder.push(out.values, record.value, record.value_length);
    decoder.push_headers(record);
  }
  if (p != end) return invalid_record("bytes are left over after the last record");
  return {};
}

}  // namespace barnabas::record
