#include "storage/offset_order.h"

namespace barnabas::storage {

std::optional<std::string> OffsetOrder::take(const record::BatchView& batch,
                                             const std::optional<Following>& following) {
  const int64_t base = batch.base_offset();
  const int64_t last = batch.last_offset();
  const bool gap = leaves_gap(batch);
  const int64_t least_base = expected_ == kAny ? bounds_.base_offset : expected_;
  const int64_t least_next = least_base + (batch.next_offset() - base);
  const bool went_up =
      gap && following && last >= following->base_offset && least_next <= following->base_offset;
  if (base < least_base || went_up || (gap && last >= bounds_.gaps_end)) {
    // Its number of records lies inside the CRC, so what follows is to be where that says.
    if (expected_ != kAny) expected_ = least_next;
    return "offset " + std::to_string(base) + " where " + std::to_string(least_base) +
           " was expected";
  }
  if (last >= bounds_.end_offset) {
    return "offset " + std::to_string(last) + " where the segment ends below " +
           std::to_string(bounds_.end_offset);
  }
  if (last - bounds_.base_offset > INT32_MAX) {
    return "offset " + std::to_string(last) + " is too far from the base";
  }
  expected_ = batch.next_offset();
  return std::nullopt;
}

}  // namespace barnabas::storage
