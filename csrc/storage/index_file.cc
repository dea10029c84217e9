#include "storage/index_file.h"

#include <algorithm>
#include <cassert>

namespace barnabas::storage {

uint8_t* IndexEntries::push() {
  tail_.resize(tail_.size() + entry_bytes_);
  return tail_.data() + tail_.size() - entry_bytes_;
}

void IndexEntries::mark_persisted(uint32_t entries) {
  assert(entries <= pending_count());
  persisted_ += entries;
  const uint32_t needed = std::max(pending_count(), kRecentIndexEntries);
  if (tail_count() <= needed) return;
  const uint32_t dropped = tail_count() - needed;
  tail_.erase(tail_.begin(), tail_.begin() + static_cast<ptrdiff_t>(dropped * entry_bytes_));
  tail_start_ += dropped;
}

void IndexEntries::reset(uint32_t entries) {
  persisted_ = entries;
  tail_start_ = entries;
  tail_.clear();
  tail_.shrink_to_fit();
}

void OffsetIndex::append(int64_t offset, uint32_t position) {
  assert(offset >= base_offset_ && offset - base_offset_ <= INT32_MAX);
  uint8_t* entry = entries.push();
  store_be<int32_t>(entry, static_cast<int32_t>(offset - base_offset_));
  store_be<uint32_t>(entry + 4, position);
}

OffsetPosition OffsetIndex::decode(const uint8_t* entry) const {
  return {base_offset_ + load_be<int32_t>(entry), load_be<uint32_t>(entry + 4)};
}

std::optional<OffsetPosition> OffsetIndex::floor_in_tail(int64_t offset) const {
  const uint32_t matching = entries.count_in_tail_where(
      [&](const uint8_t* entry) { return decode(entry).offset <= offset; });
  if (matching == 0) return std::nullopt;
  return decode(entries.tail_entry(matching - 1));
}

void TimeIndex::maybe_append(OffsetTimestamp entry) {
  if (entry.timestamp <= last.timestamp || entry.offset < last.offset) return;
  uint8_t* bytes = entries.push();
  store_be<int64_t>(bytes, entry.timestamp);
  store_be<int32_t>(bytes + 8, static_cast<int32_t>(entry.offset - base_offset_));
  last = entry;
}

OffsetTimestamp TimeIndex::decode(const uint8_t* entry) const {
  return {load_be<int64_t>(entry), base_offset_ + load_be<int32_t>(entry + 8)};
}

std::optional<OffsetTimestamp> TimeIndex::floor_in_tail(int64_t timestamp) const {
  const uint32_t matching = entries.count_in_tail_where(
      [&](const uint8_t* entry) { return decode(entry).timestamp <= timestamp; });
  if (matching == 0) return std::nullopt;
  return decode(entries.tail_entry(matching - 1));
}

}  // namespace barnabas::storage
