#include "storage/producer_snapshot.h"

#include "base/crc32c.h"
#include "base/planted.h"

namespace barnabas::storage {
namespace {

constexpr int16_t kSnapshotVersion = 1;
constexpr size_t kCrcOffset = 2;
constexpr size_t kCountOffset = 6;
constexpr size_t kHeaderBytes = 10;
constexpr size_t kEntryBytes = 46;

Error corrupt(const std::string& path, const std::string& why) {
  return Error{ErrorCode::kCorruptMessage, path + ": " + why, 0};
}

}  // namespace

std::vector<uint8_t> encode_producer_snapshot(const ProducerState& state) {
  std::vector<uint8_t> bytes(kHeaderBytes + state.producers().size() * kEntryBytes);
  store_be<int16_t>(bytes.data(), kSnapshotVersion);
  store_be<int32_t>(bytes.data() + kCountOffset, static_cast<int32_t>(state.producers().size()));
  uint8_t* p = bytes.data() + kHeaderBytes;
  for (const auto& [producer_id, entry] : state.producers()) {
    ProducerBatch last = entry.batch_count > 0 ? entry.last() : ProducerBatch{};
    if (strikes<Bug::kSnapshotBehind>() && entry.batch_count > 1) {
      last = entry.batches[entry.batch_count - 2];
    }
    store_be<int64_t>(p, producer_id);
    store_be<int16_t>(p + 8, entry.epoch);
    store_be<int32_t>(p + 10, last.last_sequence);
    store_be<int64_t>(p + 14, last.last_offset);
    store_be<int32_t>(p + 22, last.offset_delta);
    // Kafka takes it for the last timestamp, and for what expiry counts from.
    store_be<int64_t>(p + 26, entry.last_seen_ms);
    store_be<int32_t>(p + 34, entry.coordinator_epoch);
    store_be<int64_t>(p + 38, entry.current_txn_first_offset);
    p += kEntryBytes;
  }
  store_be<uint32_t>(bytes.data() + kCrcOffset, crc32c(ByteView(bytes).subspan(kCountOffset)));
  return bytes;
}

Result<ProducerState> decode_producer_snapshot(ByteView bytes, const std::string& path) {
  if (bytes.size() < kHeaderBytes) return corrupt(path, "too short for a producer snapshot");
  if (load_be<int16_t>(bytes.data()) != kSnapshotVersion) return corrupt(path, "unknown version");
  if (load_be<uint32_t>(bytes.data() + kCrcOffset) != crc32c(bytes.subspan(kCountOffset))) {
    return corrupt(path, "CRC does not match");
  }
  const int32_t count = load_be<int32_t>(bytes.data() + kCountOffset);
  if (count < 0 || (bytes.size() - kHeaderBytes) / kEntryBytes < static_cast<size_t>(count)) {
    return corrupt(path, "fewer entries than it says");
  }
  ProducerState state;
  const uint8_t* p = bytes.data() + kHeaderBytes;
  for (int32_t i = 0; i < count; ++i, p += kEntryBytes) {
    ProducerEntry entry;
    entry.epoch = load_be<int16_t>(p + 8);
    entry.last_seen_ms = load_be<int64_t>(p + 26);
    entry.coordinator_epoch = load_be<int32_t>(p + 34);
    entry.current_txn_first_offset = load_be<int64_t>(p + 38);
    const ProducerBatch last{load_be<int32_t>(p + 10), load_be<int32_t>(p + 22),
                             load_be<int64_t>(p + 14), entry.last_seen_ms};
    if (last.last_offset >= 0) entry.add(last);
    state.restore(load_be<int64_t>(p), entry);
  }
  return state;
}

}  // namespace barnabas::storage
