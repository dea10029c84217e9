#include "record/end_marker.h"

#include <array>

#include "record/builder.h"
#include "record/record.h"

namespace barnabas::record {
namespace {

constexpr int16_t kVersion = 0;
constexpr int16_t kAbort = 0;
constexpr int16_t kCommit = 1;
constexpr size_t kKeyBytes = 4;
constexpr size_t kValueBytes = 6;

}  // namespace

Result<std::vector<uint8_t>> encode_end_marker(const EndMarker& marker, int64_t producer_id,
                                               int16_t producer_epoch, int64_t timestamp_ms) {
  std::array<uint8_t, kKeyBytes> key{};
  store_be<int16_t>(key.data(), kVersion);
  store_be<int16_t>(key.data() + 2, marker.commit ? kCommit : kAbort);
  std::array<uint8_t, kValueBytes> value{};
  store_be<int16_t>(value.data(), kVersion);
  store_be<int32_t>(value.data() + 2, marker.coordinator_epoch);
  BatchOptions options;
  options.producer_id = producer_id;
  options.producer_epoch = producer_epoch;
  options.transactional = true;
  options.control = true;
  BatchBuilder builder(options);
  builder.append(timestamp_ms, ByteView(key), ByteView(value));
  return builder.build();
}

std::optional<EndMarker> parse_end_marker(const BatchView& batch, ByteView head) {
  if (batch.codec_id() != 0 || head.size() < kBatchHeaderSize) return std::nullopt;
  RecordReader reader(head.subspan(kBatchHeaderSize), batch.record_count());
  const auto record = reader.next();
  if (!record.ok() || !*record || !(*record)->key || !(*record)->value) return std::nullopt;
  const ByteView key = *(*record)->key;
  const ByteView value = *(*record)->value;
  if (key.size() < kKeyBytes || value.size() < kValueBytes) return std::nullopt;
  const auto type = load_be<int16_t>(key.data() + 2);
  if (type != kAbort && type != kCommit) return std::nullopt;
  return EndMarker{type == kCommit, load_be<int32_t>(value.data() + 2)};
}

}  // namespace barnabas::record
