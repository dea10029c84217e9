// Whether the batches of a segment, one after the other, have offsets that can be theirs. The base
// offset lies outside of a batch's CRC: that offsets rise, and end where the next segment begins,
// is all there is to tell a wrong one by.
//
// Only compaction leaves offsets out. Where it may have been, a gap is believed unless the batch
// behind it reaches into what follows and would fit in front of that: then its offset went up.
//
// Belongs to one thread.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>

#include "record/batch.h"

namespace barnabas::storage {

/// What is known of a segment's offsets before one looks.
struct OffsetBounds {
  int64_t base_offset = 0;
  int64_t end_offset = INT64_MAX;  // the next segment's base; of the active one the log's end
  int64_t gaps_end = INT64_MAX;    // every batch behind a gap ends at or below it
};

/// What the header of the batch behind another one says.
struct Following {
  int64_t base_offset = -1;
  int32_t leader_epoch = -1;
};

/// The part of a segment in which batches were found out of place: from the first one's beginning
/// to the last one's end.
struct OddRange {
  uint64_t begin = UINT64_MAX;
  uint64_t end = 0;

  [[nodiscard]] bool empty() const { return begin >= end; }
  void add(const OddRange& other) {
    begin = std::min(begin, other.begin);
    end = std::max(end, other.end);
  }
  /// How far a reader that begins with the good batch at `position` may be given what follows it,
  /// of what ends at `limit`: up to the first of them; within the range that batch alone.
  [[nodiscard]] uint64_t readable_end(uint64_t position, uint64_t bytes, uint64_t limit) const {
    if (position >= end) return limit;
    return std::min(limit, position < begin ? begin : position + bytes);
  }
};

class OffsetOrder {
 public:
  /// From a batch on of which nothing is known.
  OffsetOrder() = default;
  /// From the segment's first batch on.
  explicit OffsetOrder(const OffsetBounds& bounds) : OffsetOrder(bounds, bounds.base_offset) {}
  /// From the batch on that lies at `position` in the segment.
  static OffsetOrder at(uint64_t position, const OffsetBounds& bounds) {
    return {bounds, position == 0 ? bounds.base_offset : kAny};
  }
  /// From a batch on in front of which a log was read up to `expected`.
  OffsetOrder(const OffsetBounds& bounds, int64_t expected)
      : bounds_(bounds), expected_(expected) {}

  /// Whether offsets are left out before `batch`: then take() has to know what follows it.
  [[nodiscard]] bool leaves_gap(const record::BatchView& batch) const {
    return expected_ != kAny && batch.base_offset() > expected_;
  }
  /// Goes past `batch` if it begins right where the one before ended, as almost all do, and is in
  /// its place.
  [[nodiscard]] bool take_next(const record::BatchView& batch) {
    const int64_t last = batch.last_offset();
    if (batch.base_offset() != expected_ || last >= bounds_.end_offset ||
        last - bounds_.base_offset > INT32_MAX) {
      return false;
    }
    expected_ = last + 1;
    return true;
  }
  /// Goes past `batch`, whose header is plausible. Says what is wrong when it is not in its place.
  std::optional<std::string> take(const record::BatchView& batch,
                                  const std::optional<Following>& following);

 private:
  static constexpr int64_t kAny = -1;

  OffsetBounds bounds_;
  int64_t expected_ = kAny;
};

}  // namespace barnabas::storage
