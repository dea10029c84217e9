#include "record/columns.h"

#include <algorithm>
#include <utility>

#include "record/codec.h"
#include "record/record_parser.h"
#include "record/record_shape.h"

namespace barnabas::record {
namespace {

constexpr size_t kMinRecordBytes = 7;  // a null key, a null value, no header

/// What the offsets and timestamps of a batch's records are counted from.
class BatchBase {
 public:
  BatchBase(const BatchView& batch, int64_t from_offset)
      : offset_(batch.base_offset()), from_offset_(from_offset) {
    const bool is_append_time = batch.timestamp_type() == TimestampType::kLogAppendTime;
    timestamp_ =
        static_cast<uint64_t>(is_append_time ? batch.max_timestamp() : batch.base_timestamp());
    delta_mask_ = is_append_time ? 0 : UINT64_MAX;
  }

  /// Whether any delta leads to an offset of 64 bits.
  [[nodiscard]] bool is_far_from_overflow() const {
    return offset_ >= INT64_MIN - int64_t{INT32_MIN} && offset_ <= INT64_MAX - INT32_MAX;
  }
  [[nodiscard]] bool add_overflows(int32_t delta, int64_t& offset) const {
    return __builtin_add_overflow(offset_, int64_t{delta}, &offset);
  }
  // REQUIRES: is_far_from_overflow()
  [[nodiscard]] int64_t offset(int32_t delta) const { return offset_ + delta; }
  [[nodiscard]] bool is_wanted(int64_t offset) const { return offset >= from_offset_; }
  [[nodiscard]] int64_t timestamp(int64_t delta) const {
    return static_cast<int64_t>(timestamp_ + (static_cast<uint64_t>(delta) & delta_mask_));
  }

 private:
  int64_t offset_;
  int64_t from_offset_;
  uint64_t timestamp_;
  uint64_t delta_mask_;
};

/// Keys or values of records that are alike, on their way into their column.
class AlikeStrings {
 public:
  AlikeStrings(BinaryColumn& column, int32_t length, int32_t buffer, size_t most)
      : column_(column),
        views_(length < 0 ? nullptr : column.room(most)),
        stamp_(std::max(length, 0), buffer) {}

  void put(size_t i, const uint8_t* p, const uint8_t* buffer) const {
    if (views_ != nullptr) stamp_.stamp(views_ + i, p, static_cast<uint32_t>(p - buffer));
  }
  void push(size_t count) {
    views_ == nullptr ? column_.push_nulls(count) : column_.push_written(count);
  }

 private:
  BinaryColumn& column_;
  BinaryView* const views_;
  const ViewStamp stamp_;
};

/// Appends the records of one block of bytes.
class BlockDecoder {
 public:
  BlockDecoder(RecordColumns& out, int32_t buffer, const BatchBase& base)
      : out_(out),
        buffer_(buffer),
        bytes_(out.buffers[static_cast<size_t>(buffer)].data()),
        base_(base) {}

  void push(int64_t offset, const RecordFields& record) {
    out_.offsets.push_back(offset);
    out_.timestamps.push_back(base_.timestamp(record.timestamp_delta));
    push(out_.keys, record.key, record.key_length);
    push(out_.values, record.value, record.value_length);
    push_headers(record);
  }

 private:
  void push(BinaryColumn& column, const uint8_t* p, int32_t length) {
    if (length < 0) {
      column.push_null();
    } else {
      column.push(p, length, buffer_, static_cast<int32_t>(p - bytes_));
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
  const uint8_t* const bytes_;  // of the buffer
  const BatchBase base_;
};

/// Records one behind the other.
struct Run {
  const uint8_t* end;
  size_t count;
};

/// Appends the record at `p`, which fits `shape`, and those behind it that fit, too, at most as
/// many. Not inlined, and nothing by reference that the loop needs: that is to stay in registers.
/// REQUIRES: base.is_far_from_overflow(); room in `out` for `most` offsets and timestamps, unless
/// fewer records fit in [p, end)
[[gnu::noinline, gnu::flatten]] Run append_run(RecordColumns& out, int32_t buffer, BatchBase base,
                                               RecordShape shape, const uint8_t* p,
                                               const uint8_t* end, size_t most) {
  most = std::min(most, static_cast<size_t>(end - p) / kMinRecordBytes);
  const uint8_t* const bytes = out.buffers[static_cast<size_t>(buffer)].data();
  int64_t* const offsets = out.offsets.end();
  int64_t* const timestamps = out.timestamps.end();
  AlikeStrings keys(out.keys, shape.key_length(), buffer, most);
  AlikeStrings values(out.values, shape.value_length(), buffer, most);
  uint64_t timestamp_code = shape.timestamp_code(p);
  int64_t timestamp = base.timestamp(shape.timestamp_delta(timestamp_code));
  size_t seen = 0;
  size_t wanted = 0;
  do {
    if (const uint64_t code = shape.timestamp_code(p); code != timestamp_code) {
      timestamp_code = code;
      timestamp = base.timestamp(shape.timestamp_delta(code));
    }
    const int64_t offset = base.offset(shape.offset_delta(p));
    offsets[wanted] = offset;
    timestamps[wanted] = timestamp;
    keys.put(wanted, p + shape.key_at(), bytes);
    values.put(wanted, p + shape.value_at(), bytes);
    wanted += base.is_wanted(offset) ? 1 : 0;
    p += shape.record_bytes();
  } while (++seen < most && shape.fits(p, end));
  out.offsets.resize(out.offsets.size() + wanted);
  out.timestamps.resize(out.timestamps.size() + wanted);
  keys.push(wanted);
  values.push(wanted);
  if (!out.header_ends.empty()) {
    out.header_ends.append(wanted, static_cast<int64_t>(out.header_keys.size()));
  }
  return {p, seen};
}

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
  const BatchBase base(batch, options.from_offset);
  BlockDecoder decoder(out, buffer, base);
  const uint8_t* p = block.data();
  const uint8_t* const end = p + block.size();
  RecordShape shape;
  RecordFields record;
  for (size_t i = 0; i < count; ++i) {
    if (shape.fits(p, end) && base.is_far_from_overflow()) {
      const Run run = append_run(out, buffer, base, shape, p, end, count - i);
      p = run.end;
      i += run.count;
      if (i == count) break;
    }
    const uint8_t* const begin = p;
    if (const ParseError error = parse_record(p, end, record)) return invalid_record(error);
    shape.learn(begin, record);
    int64_t offset = 0;
    if (base.add_overflows(record.offset_delta, offset)) {
      return Error{ErrorCode::kCorruptMessage, "a record's offset is beyond 64 bits", 0};
    }
    if (base.is_wanted(offset)) decoder.push(offset, record);
  }
  if (p != end) return invalid_record("bytes are left over after the last record");
  return {};
}

}  // namespace barnabas::record
