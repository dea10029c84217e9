// Finding offsets by timestamp.
#include <algorithm>
#include <functional>
#include <utility>

#include "base/planted.h"
#include "base/saturating.h"
#include "record/record.h"
#include "storage/fd_cache.h"
#include "storage/index_file_search.h"
#include "storage/log_file_name.h"
#include "storage/log_impl.h"
#include "storage/stored_records.h"

namespace barnabas::storage {
namespace {

/// Shows `look` the timestamps and offsets of a batch's records until it says that it is enough.
Status look_at_records(const record::BatchView& batch,
                       const std::function<bool(int64_t timestamp, int64_t offset)>& look) {
  std::vector<uint8_t> expanded;
  BARNABAS_ASSIGN(const ByteView records, stored_records(batch, expanded));
  const bool append_time = batch.timestamp_type() == record::TimestampType::kLogAppendTime;
  record::RecordReader reader(records, batch.record_count());
  while (true) {
    BARNABAS_ASSIGN(const auto record, reader.next());
    if (!record) return {};
    const int64_t timestamp = append_time
                                  ? batch.max_timestamp()
                                  : wrapping_add(batch.base_timestamp(), record->timestamp_delta);
    if (look(timestamp, batch.base_offset() + record->offset_delta)) return {};
  }
}

/// The first record of `batch` at or after both bounds.
Result<std::optional<TimestampOffset>> find_record(const record::BatchView& batch,
                                                   int64_t timestamp, int64_t from_offset) {
  std::optional<TimestampOffset> found;
  BARNABAS_TRY(look_at_records(batch, [&](int64_t record_timestamp, int64_t offset) {
    const bool at_once = record_timestamp == timestamp && strikes<Bug::kTimestampOff>();
    if (record_timestamp < timestamp || at_once || offset < from_offset) return false;
    found = TimestampOffset{record_timestamp, offset, batch.leader_epoch()};
    return true;
  }));
  return found;
}

/// As find_record, in the batches of a file from `position` to `end`. One that is not in its place
/// is passed over: nobody can read from the offset that it has.
Result<std::optional<TimestampOffset>> find_record_from(int fd, const std::string& path,
                                                        uint64_t position, uint64_t end,
                                                        const OffsetBounds& bounds,
                                                        int64_t timestamp, int64_t from_offset) {
  BatchCursor cursor(fd, path, position, end, OffsetOrder::at(position, bounds));
  std::vector<uint8_t> bytes;
  while (true) {
    BARNABAS_ASSIGN(const auto batch, cursor.next());
    if (!batch) return std::optional<TimestampOffset>();
    if (!batch->in_place || batch->view.max_timestamp() < timestamp ||
        batch->view.last_offset() < from_offset) {
      continue;
    }
    bytes.resize(batch->view.size_bytes());
    BARNABAS_ASSIGN(const size_t got, read_at(fd, bytes, batch->position, path));
    if (got < bytes.size()) return std::optional<TimestampOffset>();
    BARNABAS_ASSIGN(const auto found,
                    find_record(record::BatchView(bytes), timestamp, from_offset));
    if (found) return found;
  }
}

/// The largest timestamp of a record at or above `from_offset`, in the batches of a file from
/// `position` to `end`.
Result<int64_t> max_timestamp_from(int fd, const std::string& path, uint64_t position, uint64_t end,
                                   const OffsetBounds& bounds, int64_t from_offset) {
  BatchCursor cursor(fd, path, position, end, OffsetOrder::at(position, bounds));
  std::vector<uint8_t> bytes;
  int64_t largest = record::kNoTimestamp;
  while (true) {
    BARNABAS_ASSIGN(const auto batch, cursor.next());
    if (!batch) return largest;
    const record::BatchView& header = batch->view;
    if (!batch->in_place || header.max_timestamp() <= largest || header.record_count() == 0) {
      continue;
    }
    if (header.base_offset() >= from_offset) {
      largest = header.max_timestamp();
      continue;
    }
    bytes.resize(header.size_bytes());
    BARNABAS_ASSIGN(const size_t got, read_at(fd, bytes, batch->position, path));
    if (got < bytes.size()) return largest;
    BARNABAS_TRY(look_at_records(record::BatchView(bytes), [&](int64_t timestamp, int64_t offset) {
      if (offset >= from_offset) largest = std::max(largest, timestamp);
      return false;
    }));
  }
}

}  // namespace

Result<TimestampOffset> LogImpl::offset_for_timestamp(int64_t timestamp) {
  return retried([&]() -> Result<TimestampOffset> {
    std::vector<SegmentPtr> candidates;
    int64_t from_offset = 0;
    {
      MutexLock lock(mutex_);
      from_offset = log_start_offset_.load();
      for (const SegmentPtr& segment : segments_) {
        if (segment->size == 0) continue;
        if (segment->max_timestamp.timestamp >= timestamp || !segment->max_timestamp_seen) {
          candidates.push_back(segment);
        }
      }
    }
    for (const SegmentPtr& segment : candidates) {
      see_max_timestamp(segment);
      BARNABAS_ASSIGN(const auto found, find_in_segment(segment, timestamp, from_offset));
      if (found) return *found;
    }
    return TimestampOffset{};
  });
}

Result<TimestampOffset> LogImpl::max_timestamp_offset() {
  return retried([&]() -> Result<TimestampOffset> {
    see_max_timestamps();
    struct Candidate {
      SegmentPtr segment;
      int64_t at_most;     // no timestamp in it is larger
      bool exact = false;  // a record that can be read has it
    };
    std::vector<Candidate> candidates;
    int64_t from_offset = 0;
    {
      MutexLock lock(mutex_);
      from_offset = log_start_offset_.load();
      for (const SegmentPtr& segment : segments_) {
        if (segment->size == 0 || segment->next_offset <= from_offset) continue;
        candidates.push_back({segment, segment->max_timestamp.timestamp});
      }
    }
    while (!candidates.empty()) {
      const auto newest = std::ranges::max_element(candidates, {}, &Candidate::at_most);
      if (newest->at_most < 0) break;
      BARNABAS_ASSIGN(const auto found,
                      find_in_segment(newest->segment, newest->at_most, from_offset));
      if (found) return *found;
      // Deleted from the log's start, or compacted away.
      newest->at_most = record::kNoTimestamp;
      if (std::exchange(newest->exact, true)) continue;
      BARNABAS_ASSIGN(newest->at_most, max_timestamp_in(newest->segment, from_offset));
    }
    return TimestampOffset{};
  });
}

Result<int64_t> LogImpl::max_timestamp_in(const SegmentPtr& segment, int64_t from_offset) {
  Lookup lookup;
  {
    MutexLock lock(mutex_);
    lookup = prepare_lookup(segment, std::max(from_offset, segment->base_offset));
  }
  BARNABAS_ASSIGN(const auto first, find(lookup));
  std::string path;
  BARNABAS_ASSIGN(const SharedFd file, open_log_file(segment, &path));
  return max_timestamp_from(file->get(), path, first ? first->position : lookup.size, lookup.size,
                            {segment->base_offset, lookup.next_offset}, from_offset);
}

Result<LogImpl::TimeFloor> LogImpl::floor_timestamp(const SegmentPtr& segment, int64_t timestamp) {
  std::string path;
  uint32_t count = 0;
  {
    MutexLock lock(mutex_);
    const auto in_tail = segment->time_index.floor_in_tail(timestamp);
    if (in_tail) return TimeFloor{*in_tail, in_tail->offset};
    count = segment->index_damaged ? 0 : segment->time_index.entries.persisted();
    path = path_of(*segment, suffix::kTimeIndex);
  }
  const TimeFloor start{{record::kNoTimestamp, segment->base_offset}, segment->base_offset};
  if (count == 0) return start;
  BARNABAS_ASSIGN(const SharedFd file, fds_.open(path));
  const auto last_entry_below = [&](int64_t limit) {
    return last_entry_where(file->get(), path, kTimeEntryBytes, count, count / 2,
                            [&](const uint8_t* candidate) {
                              return segment->time_index.decode(candidate).timestamp < limit;
                            });
  };
  BARNABAS_ASSIGN(const std::optional<IndexEntry> found, last_entry_below(timestamp + 1));
  if (!found) return start;
  const OffsetTimestamp entry = segment->time_index.decode(found->data());
  BARNABAS_ASSIGN(const std::optional<IndexEntry> before, last_entry_below(entry.timestamp));
  if (!before) return TimeFloor{entry, segment->base_offset};
  return TimeFloor{entry,
                   std::min(segment->time_index.decode(before->data()).offset, entry.offset)};
}

Result<std::optional<TimestampOffset>> LogImpl::find_in_segment(const SegmentPtr& segment,
                                                                int64_t timestamp,
                                                                int64_t from_offset) {
  // Up to an entry's offset nothing is later than its timestamp: one that is before the target
  // says where to begin, one that is exactly it may not be the first, so ask for the one below.
  const int64_t before = std::max(timestamp, int64_t{0}) - 1;
  const uint64_t version = shape_version_;
  BARNABAS_ASSIGN(const TimeFloor floor, floor_timestamp(segment, before));
  const auto find_offset = [&](int64_t offset) EXCLUDES(mutex_) {
    Lookup lookup;
    {
      MutexLock lock(mutex_);
      lookup = prepare_lookup(segment, offset);
    }
    return find(lookup);
  };
  BARNABAS_ASSIGN(const auto first, find_offset(floor.from_offset));
  std::string path;
  BARNABAS_ASSIGN(const SharedFd file, open_log_file(segment, &path));
  uint64_t size = 0;
  int64_t next_offset = 0;
  {
    MutexLock lock(mutex_);
    size = segment->size;
    next_offset = segment->next_offset;
  }
  uint64_t position = first ? first->position : 0;
  if (floor.entry.timestamp >= 0) {
    std::optional<BatchPosition> meant = first;
    if (floor.entry.offset != floor.from_offset) {
      BARNABAS_ASSIGN(meant, find_offset(floor.entry.offset));
    }
    BatchCursor cursor(file->get(), path, meant ? meant->position : 0, size);
    const auto batch = cursor.next();
    // As with the offset index, an entry is believed when the batch it means is there.
    if (!meant || !batch.ok() || !*batch || !is_of_batch(floor.entry, (*batch)->view)) {
      note_damaged_index(segment, version, index_path_of(path, suffix::kTimeIndex));
      position = 0;
    }
  }
  return find_record_from(file->get(), path, position, size, {segment->base_offset, next_offset},
                          timestamp, from_offset);
}

bool LogImpl::see_max_timestamp(const SegmentPtr& segment) {
  Lookup lookup;
  OffsetTimestamp last;
  uint64_t version = 0;
  {
    MutexLock lock(mutex_);
    if (segment->max_timestamp_seen) return true;
    version = shape_version_;
    last = segment->max_timestamp;
    lookup = prepare_lookup(segment, last.timestamp < 0 ? segment->base_offset : last.offset);
  }
  std::string path;
  const auto fits = [&]() -> Result<bool> {
    BARNABAS_ASSIGN(const auto first, find(lookup));
    BARNABAS_ASSIGN(const SharedFd file, open_log_file(segment, &path));
    return is_largest_timestamp(last, file->get(), path, first ? first->position : 0, lookup.size,
                                lookup.size);
  }();
  // What cannot be read says nothing against the index.
  if (!fits.ok()) return false;
  std::optional<Segment> seen;
  if (!*fits) {
    auto read = read_indexes(segment);
    if (!read.ok()) return false;
    seen.emplace(std::move(read).value());
  }
  {
    MutexLock lock(mutex_);
    if (version != shape_version_ || segment == segments_.back()) return false;
    segment->max_timestamp_seen = true;
    if (!seen) return true;
    segment->max_timestamp = seen->max_timestamp;
  }
  note_damaged_index(segment, version, index_path_of(path, suffix::kTimeIndex));
  return true;
}

void LogImpl::see_max_timestamps() {
  std::vector<SegmentPtr> unseen;
  {
    MutexLock lock(mutex_);
    for (const SegmentPtr& segment : segments_) {
      if (!segment->max_timestamp_seen) unseen.push_back(segment);
    }
  }
  for (const SegmentPtr& segment : unseen) see_max_timestamp(segment);
}

void LogImpl::see_expiring_timestamps(int64_t high_watermark) {
  while (true) {
    SegmentPtr unseen;
    {
      MutexLock lock(mutex_);
      if (!config_.delete_old || config_.retention_ms < 0) return;
      const size_t expired = count_expired(high_watermark, clock_.wall_ms());
      for (size_t n = 0; n <= expired && n < segments_.size() && !unseen; ++n) {
        if (!segments_[n]->max_timestamp_seen) unseen = segments_[n];
      }
    }
    if (!unseen || !see_max_timestamp(unseen)) return;
  }
}

}  // namespace barnabas::storage
