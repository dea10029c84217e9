// RecordBatch v2 (magic 2), Kafka's unit of append, storage and transfer: a view over its bytes.
//
// Layout (big-endian; offsets in bytes):
//    0 base_offset             int64   outside the CRC, patched by the broker
//    8 batch_length            int32   bytes after this field
//   12 partition_leader_epoch  int32   outside the CRC, patched by the broker
//   16 magic                   int8    2
//   17 crc                     uint32  CRC-32C of everything from 21 on
//   21 attributes              int16   bits 0-2 codec, 3 timestamp type, 4 transactional,
//                                      5 control, 6 delete horizon
//   23 last_offset_delta       int32
//   27 base_timestamp          int64   ms since the epoch
//   35 max_timestamp           int64
//   43 producer_id             int64   -1: none
//   51 producer_epoch          int16
//   53 base_sequence           int32
//   57 record_count            int32
//   61 records                         compressed as one block when the codec is not none
//
// A BatchView borrows: the bytes must outlive it. It checks nothing by itself; `peek` tells whether
// a whole batch is there, record/validate.h whether it is a good one.
#pragma once

#include <cstdint>
#include <optional>

#include "base/bytes.h"

namespace barnabas::record {

inline constexpr size_t kBatchOverhead = 12;    // base_offset and batch_length
inline constexpr size_t kBatchHeaderSize = 61;  // up to the records
inline constexpr int8_t kMagic = 2;
inline constexpr int64_t kNoProducerId = -1;
inline constexpr int16_t kNoProducerEpoch = -1;
inline constexpr int32_t kNoSequence = -1;
inline constexpr int64_t kNoTimestamp = -1;

enum class Codec : uint8_t { kNone = 0, kGzip = 1, kSnappy = 2, kLz4 = 3, kZstd = 4 };
enum class TimestampType : uint8_t { kCreateTime = 0, kLogAppendTime = 1 };

namespace field {
inline constexpr size_t kBaseOffset = 0;
inline constexpr size_t kBatchLength = 8;
inline constexpr size_t kLeaderEpoch = 12;
inline constexpr size_t kMagicByte = 16;
inline constexpr size_t kCrc = 17;
inline constexpr size_t kAttributes = 21;
inline constexpr size_t kLastOffsetDelta = 23;
inline constexpr size_t kBaseTimestamp = 27;
inline constexpr size_t kMaxTimestamp = 35;
inline constexpr size_t kProducerId = 43;
inline constexpr size_t kProducerEpoch = 51;
inline constexpr size_t kBaseSequence = 53;
inline constexpr size_t kRecordCount = 57;
}  // namespace field

namespace attribute {
inline constexpr int16_t kCodecMask = 0x07;
inline constexpr int16_t kTimestampTypeBit = 0x08;
inline constexpr int16_t kTransactionalBit = 0x10;
inline constexpr int16_t kControlBit = 0x20;
inline constexpr int16_t kDeleteHorizonBit = 0x40;
}  // namespace attribute

class BatchView {
 public:
  /// A view of nothing, to be assigned before it is read.
  BatchView() = default;
  // REQUIRES: bytes.size() >= kBatchHeaderSize
  explicit BatchView(ByteView bytes) : p_(bytes.data()), available_(bytes.size()) {}

  [[nodiscard]] int64_t base_offset() const { return load_be<int64_t>(p_ + field::kBaseOffset); }
  [[nodiscard]] int32_t batch_length() const { return load_be<int32_t>(p_ + field::kBatchLength); }
  [[nodiscard]] int32_t leader_epoch() const { return load_be<int32_t>(p_ + field::kLeaderEpoch); }
  [[nodiscard]] int8_t magic() const { return load_be<int8_t>(p_ + field::kMagicByte); }
  [[nodiscard]] uint32_t crc() const { return load_be<uint32_t>(p_ + field::kCrc); }
  [[nodiscard]] int16_t attributes() const { return load_be<int16_t>(p_ + field::kAttributes); }
  [[nodiscard]] int32_t last_offset_delta() const {
    return load_be<int32_t>(p_ + field::kLastOffsetDelta);
  }
  [[nodiscard]] int64_t base_timestamp() const {
    return load_be<int64_t>(p_ + field::kBaseTimestamp);
  }
  [[nodiscard]] int64_t max_timestamp() const {
    return load_be<int64_t>(p_ + field::kMaxTimestamp);
  }
  [[nodiscard]] int64_t producer_id() const { return load_be<int64_t>(p_ + field::kProducerId); }
  [[nodiscard]] int16_t producer_epoch() const {
    return load_be<int16_t>(p_ + field::kProducerEpoch);
  }
  [[nodiscard]] int32_t base_sequence() const {
    return load_be<int32_t>(p_ + field::kBaseSequence);
  }
  [[nodiscard]] int32_t record_count() const { return load_be<int32_t>(p_ + field::kRecordCount); }

  [[nodiscard]] int64_t last_offset() const { return base_offset() + last_offset_delta(); }
  [[nodiscard]] int64_t next_offset() const { return last_offset() + 1; }
  [[nodiscard]] size_t size_bytes() const {
    return kBatchOverhead + static_cast<size_t>(static_cast<uint32_t>(batch_length()));
  }
  /// The codec's number as it stands there: may be one that does not exist.
  [[nodiscard]] uint8_t codec_id() const {
    return static_cast<uint8_t>(attributes() & attribute::kCodecMask);
  }
  [[nodiscard]] TimestampType timestamp_type() const {
    return (attributes() & attribute::kTimestampTypeBit) != 0 ? TimestampType::kLogAppendTime
                                                              : TimestampType::kCreateTime;
  }
  [[nodiscard]] bool is_transactional() const {
    return (attributes() & attribute::kTransactionalBit) != 0;
  }
  [[nodiscard]] bool is_control() const { return (attributes() & attribute::kControlBit) != 0; }
  [[nodiscard]] bool has_delete_horizon() const {
    return (attributes() & attribute::kDeleteHorizonBit) != 0;
  }
  [[nodiscard]] bool has_producer_id() const { return producer_id() > kNoProducerId; }
  /// The sequence of the last record; wraps from 2^31-1 to 0 as producers' do. kNoSequence when the
  /// batch has none: a coordinator's have not.
  [[nodiscard]] int32_t last_sequence() const {
    const int32_t first = base_sequence();
    return first < 0 ? kNoSequence : increment_sequence(first, last_offset_delta());
  }

  // REQUIRES for these three: the whole batch is available.
  [[nodiscard]] ByteView bytes() const { return {p_, size_bytes()}; }
  [[nodiscard]] ByteView crc_payload() const {
    return {p_ + field::kAttributes, size_bytes() - field::kAttributes};
  }
  [[nodiscard]] ByteView records() const {
    return {p_ + kBatchHeaderSize, size_bytes() - kBatchHeaderSize};
  }

  [[nodiscard]] static int32_t increment_sequence(int32_t sequence, int32_t increment) {
    if (sequence > INT32_MAX - increment) return increment - (INT32_MAX - sequence) - 1;
    return sequence + increment;
  }

 private:
  const uint8_t* p_ = nullptr;
  size_t available_ = 0;  // kept for assertions in debuggers; reads go through the accessors
};

/// The first batch in `bytes` when it is there whole and its header is plausible (length at least
/// a header's, magic 2); nullopt otherwise. Looks at no CRC.
[[nodiscard]] inline std::optional<BatchView> peek_batch(ByteView bytes) {
  if (bytes.size() < kBatchHeaderSize) return std::nullopt;
  const BatchView view(bytes);
  if (view.batch_length() < static_cast<int32_t>(kBatchHeaderSize - kBatchOverhead)) {
    return std::nullopt;
  }
  if (view.size_bytes() > bytes.size() || view.magic() != kMagic) return std::nullopt;
  return view;
}

}  // namespace barnabas::record
