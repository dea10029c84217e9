// The two indexes of a segment: `.index` (offset -> position) and `.timeindex` (timestamp ->
// offset), in Kafka's layout.
//
// .index entry, 8 bytes: offset - base int32, position int32. The offset is the LAST one of the
//   batch that starts at the position; strictly increasing.
// .timeindex entry, 12 bytes: timestamp int64, offset - base int32: up to this offset no timestamp
//   is larger; the offset is the last one of the batch that has it. Both strictly increasing.
//
// The newest entries stay in memory and go to the file in groups, with one pwrite(2); older ones
// are looked up with pread(2). Nothing is mapped: an idle partition costs no mapping and no page,
// an unreadable sector is an error instead of SIGBUS, and a file needs no preallocated, zero-filled
// tail.
//
// Pure state; the owner (Segment, under Log's mutex) locks, but for decode(), which readers call
// unlocked while they search a file.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"

namespace barnabas::storage {

/// A batch's last offset and where the batch starts.
struct OffsetPosition {
  int64_t offset = 0;
  uint32_t position = 0;
};

struct OffsetTimestamp {
  int64_t timestamp = -1;
  int64_t offset = -1;
};

inline constexpr size_t kOffsetEntryBytes = 8;
inline constexpr size_t kTimeEntryBytes = 12;

/// How many of the entries that are in the file stay in memory as well, for readers near the tail.
inline constexpr uint32_t kRecentIndexEntries = 64;

/// Fixed-size entries: the first `persisted` are in the file, the last `tail_count` in memory; of
/// those that are in both, the newest kRecentIndexEntries.
class IndexEntries {
 public:
  explicit IndexEntries(size_t entry_bytes) : entry_bytes_(entry_bytes) {}

  [[nodiscard]] uint32_t count() const { return tail_start_ + tail_count(); }
  [[nodiscard]] uint32_t persisted() const { return persisted_; }
  [[nodiscard]] uint32_t pending_count() const { return count() - persisted_; }
  [[nodiscard]] uint32_t tail_count() const {
    return static_cast<uint32_t>(tail_.size() / entry_bytes_);
  }
  // REQUIRES: n < tail_count()
  [[nodiscard]] const uint8_t* tail_entry(uint32_t n) const {
    return tail_.data() + n * entry_bytes_;
  }
  /// How many entries in memory satisfy a predicate that holds for a prefix of them.
  template <class Predicate>
  [[nodiscard]] uint32_t count_in_tail_where(Predicate predicate) const {
    uint32_t low = 0;
    uint32_t high = tail_count();
    while (low < high) {
      const uint32_t middle = low + (high - low) / 2;
      if (predicate(tail_entry(middle))) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low;
  }
  uint8_t* push();
  [[nodiscard]] ByteView pending() const {
    return ByteView(tail_).subspan((persisted_ - tail_start_) * entry_bytes_);
  }
  [[nodiscard]] uint64_t file_bytes() const { return uint64_t{persisted_} * entry_bytes_; }
  [[nodiscard]] size_t entry_bytes() const { return entry_bytes_; }
  /// The first `entries` of those pending are in the file now.
  void mark_persisted(uint32_t entries);
  /// The file holds `entries` good ones; the tail is empty.
  void reset(uint32_t entries);

 private:
  size_t entry_bytes_;
  uint32_t persisted_ = 0;
  uint32_t tail_start_ = 0;  // number of the first entry in tail_; at most persisted_
  std::vector<uint8_t> tail_;
};

class OffsetIndex {
 public:
  explicit OffsetIndex(int64_t base_offset) : base_offset_(base_offset) {}

  /// REQUIRES: offset above every one before it, offset - base_offset fits int32.
  void append(int64_t offset, uint32_t position);
  /// The last entry in memory at or below `offset`; nullopt when it is (or may be) in the file.
  [[nodiscard]] std::optional<OffsetPosition> floor_in_tail(int64_t offset) const;
  /// Needs no lock.
  [[nodiscard]] OffsetPosition decode(const uint8_t* entry) const;
  [[nodiscard]] bool full(int32_t max_bytes) const {
    return entries.count() >= static_cast<uint32_t>(max_bytes) / kOffsetEntryBytes;
  }

  /// REQUIRES: `other` is of the same segment.
  void take_entries(OffsetIndex&& other) { entries = std::move(other.entries); }

  IndexEntries entries{kOffsetEntryBytes};

 private:
  const int64_t base_offset_;
};

class TimeIndex {
 public:
  explicit TimeIndex(int64_t base_offset) : base_offset_(base_offset) {}

  /// Appends unless the timestamp is not above the last one.
  void maybe_append(OffsetTimestamp entry);
  /// Needs no lock.
  [[nodiscard]] OffsetTimestamp decode(const uint8_t* entry) const;
  /// The last entry in memory at or below `timestamp`; nullopt when it may be in the file.
  [[nodiscard]] std::optional<OffsetTimestamp> floor_in_tail(int64_t timestamp) const;
  /// One slot is kept for the entry that closing the segment adds.
  [[nodiscard]] bool full(int32_t max_bytes) const {
    return entries.count() + 1 >= static_cast<uint32_t>(max_bytes) / kTimeEntryBytes;
  }

  /// REQUIRES: `other` is of the same segment.
  void take_entries(TimeIndex&& other) {
    entries = std::move(other.entries);
    last = other.last;
  }

  IndexEntries entries{kTimeEntryBytes};
  OffsetTimestamp last;  // (-1, -1) when there is none

 private:
  const int64_t base_offset_;
};

}  // namespace barnabas::storage
