// Finding the bytes of an offset range.
#include <algorithm>

#include "storage/fd_cache.h"
#include "storage/log_file_name.h"
#include "storage/log_impl.h"

namespace barnabas::storage {
namespace {

bool is_empty(const BatchPosition& batch) { return batch.bytes == record::kBatchHeaderSize; }

}  // namespace

LogImpl::SegmentPtr LogImpl::segment_for(int64_t offset) const {
  const auto after = std::partition_point(
      segments_.begin(), segments_.end(),
      [offset](const SegmentPtr& segment) { return segment->base_offset <= offset; });
  return after == segments_.begin() ? segments_.front() : *(after - 1);
}

LogImpl::SegmentPtr LogImpl::segment_after(const Segment& segment) const {
  const auto after = std::partition_point(segments_.begin(), segments_.end(),
                                          [&segment](const SegmentPtr& candidate) {
                                            return candidate->base_offset <= segment.base_offset;
                                          });
  return after == segments_.end() ? nullptr : *after;
}

LogImpl::Lookup LogImpl::prepare_lookup(const SegmentPtr& segment, int64_t offset) const {
  Lookup lookup;
  lookup.segment = segment;
  lookup.offset = offset;
  lookup.size = segment->size;
  lookup.next_offset = segment->next_offset;
  lookup.version = shape_version_;
  if (segment == segments_.back()) lookup.exact = recent_.find(offset);
  if (lookup.exact) return lookup;
  lookup.floor = segment->offset_index.floor_in_tail(offset);
  lookup.file_entries = segment->offset_index.entries.persisted();
  if (segment->index_damaged) {
    lookup.floor.reset();
    lookup.file_entries = 0;
  }
  return lookup;
}

Result<std::optional<BatchPosition>> LogImpl::find(const Lookup& lookup) {
  if (lookup.exact) return lookup.exact;
  BARNABAS_ASSIGN(const FoundBatch found, search(lookup));
  return found.batch;
}

Result<std::optional<BatchPosition>> LogImpl::find_certainly(const Lookup& lookup) {
  if (lookup.exact) return lookup.exact;
  BARNABAS_ASSIGN(const FoundBatch found, search(lookup));
  if (found.certain) return found.batch;
  return Error{ErrorCode::kCorruptMessage,
               name_.to_string() + ": offset " + std::to_string(lookup.offset) +
                   " is not found: " + found.odd,
               0};
}

Result<FoundBatch> LogImpl::search(const Lookup& lookup) {
  BARNABAS_ASSIGN(FoundBatch found, search_file(lookup));
  if (!found.odd_range.empty()) {
    MutexLock lock(mutex_);
    lookup.segment->odd.add(found.odd_range);
  }
  return found;
}

Result<FoundBatch> LogImpl::search_file(const Lookup& lookup) {
  std::string path;
  BARNABAS_ASSIGN(const SharedFd file, open_log_file(lookup.segment, &path));
  const OffsetBounds bounds{lookup.segment->base_offset, lookup.next_offset};
  const auto search_from_start = [&] {
    return BatchCursor(file->get(), path, 0, lookup.size, OffsetOrder(bounds)).find(lookup.offset);
  };
  if (!lookup.floor && lookup.file_entries == 0) return search_from_start();
  const std::string index_path = index_path_of(path, suffix::kOffsetIndex);
  const auto floor =
      lookup.floor
          ? Result<OffsetPosition>(*lookup.floor)
          : floor_in_file(lookup.segment->offset_index, lookup.segment->base_offset,
                          lookup.next_offset, fds_, index_path, lookup.file_entries, lookup.offset);
  if (floor.ok() && floor->position == 0) return search_from_start();
  if (floor.ok() && floor->position < lookup.size) {
    BatchCursor cursor(file->get(), path, floor->position, lookup.size,
                       OffsetOrder::at(floor->position, bounds));
    const auto first = cursor.next();
    // As is_in_log() has it, with the one read that the look-up needs anyway.
    if (first.ok() && *first && (*first)->view.last_offset() == floor->offset) {
      if ((*first)->view.last_offset() >= lookup.offset) {
        return FoundBatch{.batch = BatchCursor::position_of(**first)};
      }
      return cursor.find(lookup.offset);
    }
  }
  // What is in memory is right: then the batch is not.
  if (lookup.floor) return search_from_start();
  if (!floor.ok()) follow_rename(floor.error());
  {
    MutexLock lock(mutex_);
    // The log has got another directory: the look-up starts over.
    if (!floor.ok() && path_of(*lookup.segment, suffix::kOffsetIndex) != index_path) {
      return floor.error();
    }
  }
  note_damaged_index(lookup.segment, lookup.version, index_path,
                     floor.ok() ? "" : floor.error().message);
  return search_from_start();
}

Result<ReadSlice> LogImpl::read(int64_t offset, uint64_t max_bytes, int64_t end_offset,
                                bool at_least_one) {
  return retried([&] { return try_read(offset, max_bytes, end_offset, at_least_one); });
}

LogImpl::ReadPlan LogImpl::plan_read(const SegmentPtr& segment, int64_t offset,
                                     int64_t end_offset) const {
  ReadPlan plan;
  plan.first = prepare_lookup(segment, offset);
  if (end_offset < segment->next_offset) plan.last = prepare_lookup(segment, end_offset);
  plan.odd = segment->odd;
  plan.file = segment->file.lock();
  plan.path = path_of(*segment, suffix::kLog);
  plan.in_active_segment = segment == segments_.back();
  return plan;
}

Result<std::optional<BatchPosition>> LogImpl::find_behind_empty(ReadPlan& plan,
                                                                std::optional<BatchPosition> start,
                                                                int64_t end_offset,
                                                                uint64_t version) {
  std::optional<std::pair<ReadPlan, BatchPosition>> empty;
  while (!start || is_empty(*start) || (empty && start->last_offset >= end_offset)) {
    if (start && !empty) empty.emplace(plan, *start);
    const int64_t offset = start ? start->last_offset + 1 : plan.first.offset;
    {
      MutexLock lock(mutex_);
      const SegmentPtr next = start && offset < plan.first.next_offset
                                  ? plan.first.segment
                                  : segment_after(*plan.first.segment);
      if (!next || offset >= end_offset || next->base_offset >= end_offset ||
          shape_version_ != version) {
        if (!empty) return std::optional<BatchPosition>();
        plan = std::move(empty->first);
        return std::optional(empty->second);
      }
      plan = plan_read(next, offset, end_offset);
    }
    BARNABAS_ASSIGN(start, find_certainly(plan.first));
  }
  return start;
}

Result<ReadSlice> LogImpl::try_read(int64_t offset, uint64_t max_bytes, int64_t end_offset,
                                    bool at_least_one) {
  ReadPlan plan;
  ReadSlice slice;
  uint64_t version = 0;
  {
    MutexLock lock(mutex_);
    version = shape_version_;
    const int64_t log_end = log_end_offset_.load();
    if (offset < log_start_offset_.load() || offset > log_end) {
      return Error{ErrorCode::kOffsetOutOfRange,
                   name_.to_string() + ": offset " + std::to_string(offset) + " is not in [" +
                       std::to_string(log_start_offset_.load()) + ", " + std::to_string(log_end) +
                       "]",
                   0};
    }
    end_offset = std::min(end_offset, log_end);
    const SegmentPtr segment = segment_for(offset);
    slice.in_active_segment = segment == segments_.back();
    if (offset >= end_offset) return slice;
    plan = plan_read(segment, offset, end_offset);
  }
  BARNABAS_ASSIGN(auto start, find_certainly(plan.first));
  if (!start || is_empty(*start)) {
    BARNABAS_ASSIGN(start, find_behind_empty(plan, start, end_offset, version));
    if (!start) return slice;
  }
  uint64_t end = plan.first.size;
  if (plan.last) {
    BARNABAS_ASSIGN(const auto behind, find(*plan.last));
    if (behind) end = behind->position;
    MutexLock lock(mutex_);
    plan.odd = plan.first.segment->odd;
  }
  end = plan.odd.readable_end(start->position, start->bytes, end);
  slice.in_active_segment = plan.in_active_segment;
  if (end <= start->position) return slice;  // the batch goes on beyond end_offset
  uint64_t length = std::min(max_bytes, end - start->position);
  if (at_least_one) length = std::max(length, start->bytes);
  if (!plan.file) {
    BARNABAS_ASSIGN(plan.file, open_log_file(plan.first.segment));
  }
  slice.file = {std::move(plan.file), start->position, length};
  slice.first_batch_offset = start->base_offset;
  slice.first_batch_bytes = start->bytes;
  slice.path = std::move(plan.path);
  return slice;
}

}  // namespace barnabas::storage
