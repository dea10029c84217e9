// Fuzzes validate_batch and the readers behind it: whatever the bytes, there is a verdict, no
// access out of bounds, and a batch that was accepted can be decoded.
//
// Input: one byte of options (codec policy, compaction, timestamps, whether the CRC is made right),
// then the bytes of a Produce request's partition.
#include <cassert>
#include <cstring>
#include <optional>
#include <vector>

#include "base/crc32c.h"
#include "record/columns.h"
#include "record/record.h"
#include "record/validate.h"

using namespace barnabas;
using namespace barnabas::record;

namespace {

constexpr int64_t kNow = 1'700'000'000'000;
constexpr int64_t kMaxExpansionBytes = 1 << 20;  // keeps a run fast

ValidationPolicy policy_of(uint8_t options) {
  ValidationPolicy policy;
  policy.max_decompressed_bytes = kMaxExpansionBytes;
  policy.compacted = (options & 1) != 0;
  policy.timestamp_type =
      (options & 2) != 0 ? TimestampType::kLogAppendTime : TimestampType::kCreateTime;
  policy.recompress = (options & 4) != 0;
  policy.target_codec = static_cast<Codec>((options >> 4) % 5);
  return policy;
}

bool is_same(const BinaryColumn& column, size_t i, const std::vector<ByteView>& buffers,
             const std::optional<ByteView>& bytes) {
  if (column.is_null(i) == bytes.has_value()) return false;
  if (!bytes) return true;
  const BinaryView& view = column.views()[i];
  return static_cast<size_t>(view.length) == bytes->size() &&
         (view.length == 0 || std::memcmp(view.data(buffers), bytes->data(), bytes->size()) == 0);
}

/// Whether columns and records, which are read differently, agree.
bool is_same(const RecordColumns& columns, ByteView records, const BatchView& batch) {
  const bool is_append_time = batch.timestamp_type() == TimestampType::kLogAppendTime;
  RecordReader reader(records, batch.record_count());
  for (size_t i = 0;; ++i) {
    const auto record = reader.next();
    if (!record.ok()) return false;
    if (!*record) return i == columns.offsets.size();
    const auto timestamp = static_cast<int64_t>(static_cast<uint64_t>(batch.base_timestamp()) +
                                                static_cast<uint64_t>((*record)->timestamp_delta));
    if (columns.offsets[i] != batch.base_offset() + (*record)->offset_delta ||
        columns.timestamps[i] != (is_append_time ? batch.max_timestamp() : timestamp) ||
        !is_same(columns.keys, i, columns.buffers, (*record)->key) ||
        !is_same(columns.values, i, columns.buffers, (*record)->value)) {
      return false;
    }
  }
}

Status decode(const BatchView& batch, RecordColumns& out) {
  out.buffers.push_back(batch.bytes());
  Status status = append_columns(out, batch, 0, {kMaxExpansionBytes});
  if (status.ok() && batch.codec_id() == 0) assert(is_same(out, batch.records(), batch));
  return status;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  std::vector<uint8_t> bytes(data + 1, data + size);
  const bool reseal = (data[0] & 8) != 0;
  if (reseal && bytes.size() >= kBatchHeaderSize) {
    // A fuzzer does not find checksums: make length, magic and CRC right and let it do the rest.
    store_be<int32_t>(bytes.data() + field::kBatchLength,
                      static_cast<int32_t>(bytes.size() - kBatchOverhead));
    store_be<int8_t>(bytes.data() + field::kMagicByte, kMagic);
    store_be<uint32_t>(bytes.data() + field::kCrc, crc32c(BatchView(bytes).crc_payload()));
  }
  auto result = validate_batch(bytes, policy_of(data[0]), kNow);
  if (auto* batch = std::get_if<ValidatedBatch>(&result)) {
    const BatchView view(batch->bytes);
    assert(crc32c(view.crc_payload()) == view.crc());
    RecordColumns columns;
    assert(decode(view, columns).ok());
    assert(columns.offsets.size() == static_cast<size_t>(view.record_count()));
  } else if (const auto view = peek_batch(bytes)) {
    RecordColumns columns;
    (void)decode(*view, columns).ok();
  }
  return 0;
}
