// Builds RecordBatches v2 from records: for internal topics, re-encoding and the in-process
// producer.
//
// Thread-safety: a builder belongs to one thread.
#pragma once

#include <algorithm>
#include <array>
#include <cassert>
#include <cstring>
#include <optional>
#include <vector>

#include "base/raw_array.h"
#include "base/result.h"
#include "base/varint.h"
#include "record/batch.h"
#include "record/codec.h"
#include "record/record.h"

namespace barnabas::record {

struct BatchOptions {
  Codec codec = Codec::kNone;
  int level = kDefaultLevel;
  TimestampType timestamp_type = TimestampType::kCreateTime;
  int64_t producer_id = kNoProducerId;
  int16_t producer_epoch = kNoProducerEpoch;
  int32_t base_sequence = kNoSequence;
  bool transactional = false;
  bool control = false;
  int64_t base_offset = 0;
  int32_t leader_epoch = -1;
  // For compaction: what it leaves of a batch ends where the batch ended.
  int32_t last_offset_delta = -1;            // -1: the last record's
  int64_t delete_horizon_ms = kNoTimestamp;  // KIP-534: becomes the base timestamp, and bit 6
};

/// A batch, and what its builder knows of its records.
struct BuiltBatch {
  MutableBytes bytes;
  size_t expanded_bytes = 0;  // before compression
  int64_t min_timestamp = kNoTimestamp;
  int64_t max_timestamp = kNoTimestamp;
  bool has_null_keys = false;
};

class BatchBuilder {
 public:
  explicit BatchBuilder(BatchOptions options);

  /// Copies the record in. `timestamp` in ms since the epoch.
  void append(int64_t timestamp, const std::optional<ByteView>& key,
              const std::optional<ByteView>& value, std::span<const HeaderView> headers = {}) {
    append_at(last_offset_delta_ + 1, timestamp, key, value, headers);
  }
  /// As append, at an offset of its own (compaction and re-encoding keep gaps).
  void append_at(int32_t offset_delta, int64_t timestamp, const std::optional<ByteView>& key,
                 const std::optional<ByteView>& value, std::span<const HeaderView> headers = {}) {
    const int64_t timestamp_delta = count_in(offset_delta, timestamp, key.has_value());
    if (mould_.fits(offset_delta, timestamp_delta, size_or_null(key), size_or_null(value)) &&
        headers.empty()) {
      cast(offset_delta, key, value);
    } else {
      append_unlike(offset_delta, timestamp_delta, key, value, headers);
    }
  }

  /// Copies a record of another batch, at its offset there.
  void append_copy(const RecordView& record, int64_t timestamp);

  [[nodiscard]] int32_t record_count() const { return count_; }
  /// The encoded size so far, before compression.
  [[nodiscard]] size_t size_bytes() const { return count_ == 0 ? kBatchHeaderSize : plain_.size(); }
  /// Of the next batch to be built: a sequence goes on from batch to batch.
  void set_producer(int64_t id, int16_t epoch, int32_t base_sequence) {
    options_.producer_id = id;
    options_.producer_epoch = epoch;
    options_.base_sequence = base_sequence;
  }

  /// The encoded batch, CRC and all; the builder is empty afterwards, also when it cannot be made.
  /// REQUIRES: record_count() > 0
  Result<std::vector<uint8_t>> build();
  /// As build(), in the builder's own memory, which the next append or build uses again.
  Result<BuiltBatch> seal();
  /// Drops what was appended.
  void restart();

 private:
  /// What records of the same sizes and timestamp have in common: all but offset, key and value.
  struct Mould {
    static constexpr int64_t kNone = -2;

    // -1: null
    int64_t key_size = kNone;
    int64_t value_size = kNone;
    int64_t timestamp_delta = 0;
    int32_t offsets_end = 0;    // offset deltas below it, and
    int32_t offsets_begin = 0;  // from here on, are as long as one another
    size_t record_size = 0;     // length and all
    size_t offset_at = 0;       // in `head`
    size_t head_size = 0;       // up to the key's length; 0: nothing is known but the sizes
    size_t tail_size = 0;
    std::array<uint8_t, 16> head{};
    std::array<uint8_t, 8> tail{};  // the value's length

    [[nodiscard]] bool fits(int32_t offset_delta, int64_t delta, int64_t key, int64_t value) const {
      return key == key_size && value == value_size && delta == timestamp_delta &&
             offset_delta >= offsets_begin && offset_delta < offsets_end;
    }
  };

  static int64_t size_or_null(const std::optional<ByteView>& bytes) {
    return bytes ? static_cast<int64_t>(bytes->size()) : -1;
  }
  /// Takes note of a record to come; returns its timestamp delta.
  int64_t count_in(int32_t offset_delta, int64_t timestamp, bool has_key) {
    assert(offset_delta > last_offset_delta_);
    if (count_ == 0) begin(timestamp);
    ++count_;
    last_offset_delta_ = offset_delta;
    min_timestamp_ = std::min(min_timestamp_, timestamp);
    max_timestamp_ = std::max(max_timestamp_, timestamp);
    has_null_keys_ |= !has_key;
    // Wraps like Java's long: a reader adds the delta back the same way.
    return static_cast<int64_t>(static_cast<uint64_t>(timestamp) -
                                static_cast<uint64_t>(base_timestamp_));
  }
  /// With the first record.
  void begin(int64_t timestamp);
  /// Room for a record's length and body; returns where the body begins.
  uint8_t* add_record(size_t body_size);
  /// Adds a record that the mould fits.
  void cast(int32_t offset_delta, const std::optional<ByteView>& key,
            const std::optional<ByteView>& value) {
    // Head and tail are written whole, and what is too much of them is written over.
    constexpr size_t kSlack = sizeof mould_.head + sizeof mould_.tail;
    plain_.reserve_more(mould_.record_size + kSlack);
    uint8_t* p = plain_.end();
    plain_.resize(plain_.size() + mould_.record_size);
    std::memcpy(p, mould_.head.data(), sizeof mould_.head);
    (void)write_uvarint(p + mould_.offset_at, zigzag_encode(offset_delta));
    p += mould_.head_size;
    if (mould_.key_size > 0) {
      std::memcpy(p, key->data(), key->size());
      p += key->size();
    }
    std::memcpy(p, mould_.tail.data(), sizeof mould_.tail);
    p += mould_.tail_size;
    if (mould_.value_size > 0) {
      std::memcpy(p, value->data(), value->size());
      p += value->size();
    }
    *p++ = 0;  // headers
    assert(p == plain_.end());
  }
  void append_unlike(int32_t offset_delta, int64_t timestamp_delta,
                     const std::optional<ByteView>& key, const std::optional<ByteView>& value,
                     std::span<const HeaderView> headers);
  /// Makes the mould fit records like the last one, if the one before was such a one.
  void mould(int32_t offset_delta, int64_t timestamp_delta, const std::optional<ByteView>& key,
             const std::optional<ByteView>& value, size_t start);
  /// The batch so far, encoded, its header still empty.
  Result<RawArray<uint8_t>*> encode();
  void write_header(MutableBytes batch) const;

  BatchOptions options_;
  RawArray<uint8_t> plain_;       // room for a header, then the records
  RawArray<uint8_t> compressed_;  // the same with the records as one block
  Mould mould_;
  int32_t count_ = 0;
  int32_t last_offset_delta_ = -1;
  int64_t base_timestamp_ = 0;
  int64_t min_timestamp_ = kNoTimestamp;
  int64_t max_timestamp_ = kNoTimestamp;
  bool has_null_keys_ = false;
};

}  // namespace barnabas::record
