// Builds RecordBatches v2 from records: for internal topics, re-encoding and the in-process
// producer.
//
// Thread-safety: a builder belongs to one thread.
#pragma once

#include <optional>
#include <utility>
#include <vector>

#include "base/result.h"
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

class BatchBuilder {
 public:
  explicit BatchBuilder(BatchOptions options);

  /// Copies the record in. `timestamp` in ms since the epoch.
  void append(int64_t timestamp, std::optional<ByteView> key, std::optional<ByteView> value,
              std::span<const HeaderView> headers = {});
  /// As append, at an offset of its own (compaction and re-encoding keep gaps).
  void append_at(int32_t offset_delta, int64_t timestamp, std::optional<ByteView> key,
                 std::optional<ByteView> value, std::span<const HeaderView> headers = {});

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

  /// The encoded batch, CRC and all; the builder is empty afterwards.
  /// REQUIRES: record_count() > 0
  Result<std::vector<uint8_t>> build();
  /// As build(), in the builder's own memory, which the next append or build uses again.
  Result<MutableBytes> seal();

 private:
  /// Takes note of a record to come; returns its timestamp delta.
  int64_t count_in(int32_t offset_delta, int64_t timestamp);
  /// Room for a record's length and body; returns where the body begins.
  uint8_t* add_record(size_t body_size);
  /// The batch so far, encoded, its header still empty.
  Result<std::vector<uint8_t>*> encode();
  void write_header(MutableBytes batch) const;

  BatchOptions options_;
  std::vector<uint8_t> plain_;       // room for a header, then the records
  std::vector<uint8_t> compressed_;  // the same with the records as one block
  int32_t count_ = 0;
  int32_t last_offset_delta_ = -1;
  int64_t base_timestamp_ = 0;
  int64_t max_timestamp_ = kNoTimestamp;
};

}  // namespace barnabas::record
