#include "storage/segment.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <random>

#include "base/file_copy.h"
#include "base/logger.h"
#include "base/planted.h"
#include "storage/batch_cursor.h"
#include "storage/fd_cache.h"
#include "storage/index_file_search.h"
#include "storage/log_file_name.h"

namespace barnabas::storage {
namespace {

double random_share() {
  thread_local std::mt19937_64 random{std::random_device{}()};
  return std::uniform_real_distribution<double>(0, 1)(random);
}

/// Of a file that is to be written from its beginning.
Status begin_anew_if_shared(const std::string& path) {
  BARNABAS_ASSIGN(const bool shared, has_other_name(path));
  return shared ? remove_file(path) : Status();
}

}  // namespace

Segment::Segment(int64_t base)
    : base_offset(base),
      jitter_share(random_share()),
      next_offset(base),
      offset_index(base),
      time_index(base) {}

void Segment::add_batch(const record::BatchView& batch, int32_t index_interval_bytes) {
  if (size == 0) first_timestamp = batch.max_timestamp();
  if (batch.max_timestamp() > max_timestamp.timestamp) {
    max_timestamp = {batch.max_timestamp(), batch.last_offset()};
  }
  if (bytes_since_index_entry > static_cast<uint64_t>(index_interval_bytes)) {
    if (!strikes<Bug::kIndexOneShort>(5)) {
      offset_index.append(batch.last_offset(), static_cast<uint32_t>(size));
    }
    time_index.maybe_append(max_timestamp);
    bytes_since_index_entry = 0;
  }
  bytes_since_index_entry += batch.size_bytes();
  size += batch.size_bytes();
  next_offset = batch.next_offset();
}

void Segment::clear() {
  next_offset = base_offset;
  size = 0;
  offset_index.entries.reset(0);
  time_index.entries.reset(0);
  time_index.last = {};
  transaction_index = {};
  max_timestamp = {};
  max_timestamp_seen = true;
  first_timestamp = record::kNoTimestamp;
  bytes_since_index_entry = 0;
  odd = {};
  index_damaged = false;
  transactions_damaged = false;
  transactions_synced = 0;
}

PendingIndex pending_entries(const IndexEntries& entries, std::string path) {
  const ByteView pending = entries.pending();
  return {std::move(path),
          entries.file_bytes(),
          {pending.begin(), pending.end()},
          entries.pending_count()};
}

Status write_pending(const PendingIndex& pending) {
  BARNABAS_ASSIGN(const UniqueFd fd, open_file(pending.path, O_WRONLY | O_CREAT));
  BARNABAS_TRY(write_all_at(fd.get(), pending.bytes, pending.position, pending.path));
  // What may follow is left over from before a crash or a truncation.
  return truncate_file(fd.get(), pending.position + pending.bytes.size(), pending.path);
}

Status persist_indexes(Segment& segment, const std::string& directory) {
  const auto persist = [&](IndexEntries& entries, std::string_view file_suffix) -> Status {
    const auto pending =
        pending_entries(entries, log_file_path(directory, segment.base_offset, file_suffix));
    BARNABAS_TRY(begin_anew_if_shared(pending.path));
    BARNABAS_TRY(write_pending(pending));
    entries.reset(entries.count());
    return {};
  };
  BARNABAS_TRY(persist(segment.offset_index.entries, suffix::kOffsetIndex));
  return persist(segment.time_index.entries, suffix::kTimeIndex);
}

Status persist_transaction_index(TransactionIndex& index, const std::string& path) {
  if (index.entries.count() == 0) {
    // In this order: alone, the checksum would say that something is missing.
    BARNABAS_TRY(remove_file(path + std::string(suffix::kChecksum)));
    return remove_file(path);
  }
  const auto pending = pending_entries(index.entries, path);
  BARNABAS_TRY(begin_anew_if_shared(path));
  BARNABAS_TRY(write_pending(pending));
  index.entries.mark_persisted(pending.count);
  return {};
}

Status rebuild_from_headers(Segment& segment, int fd, const std::string& path, uint64_t end,
                            int32_t index_interval_bytes, const OffsetBounds& bounds) {
  BatchCursor cursor(fd, path, segment.size, end, OffsetOrder::at(segment.size, bounds));
  while (true) {
    BARNABAS_ASSIGN(const auto batch, cursor.next());
    if (!batch) return {};
    if (!batch->in_place) return cursor.out_of_place();
    segment.add_batch(batch->view, index_interval_bytes);
  }
}

Result<OffsetPosition> floor_in_file(const OffsetIndex& decoder, int64_t base_offset,
                                     int64_t next_offset, FdCache& fds,
                                     const std::string& index_path, uint32_t count,
                                     int64_t offset) {
  if (count == 0) return OffsetPosition{base_offset, 0};
  // Batches are much alike as a rule, so that entries lie where the offset's share says.
  const double share = static_cast<double>(offset - base_offset) /
                       static_cast<double>(std::max<int64_t>(next_offset - base_offset, 1));
  const auto guess = static_cast<uint32_t>(std::clamp(share, 0.0, 1.0) * count);
  BARNABAS_ASSIGN(const SharedFd fd, fds.open(index_path));
  BARNABAS_ASSIGN(const std::optional<IndexEntry> entry,
                  last_entry_where(fd->get(), index_path, kOffsetEntryBytes, count, guess,
                                   [&](const uint8_t* candidate) {
                                     return decoder.decode(candidate).offset <= offset;
                                   }));
  if (!entry) return OffsetPosition{base_offset, 0};
  return decoder.decode(entry->data());
}

bool is_in_log(const OffsetPosition& entry, int fd, const std::string& path, uint64_t size) {
  if (entry.position >= size) return false;
  BatchCursor cursor(fd, path, entry.position, size);
  const auto batch = cursor.next();
  return batch.ok() && *batch && (*batch)->view.last_offset() == entry.offset;
}

bool is_of_batch(const OffsetTimestamp& entry, const record::BatchView& batch) {
  return batch.base_offset() <= entry.offset && entry.offset <= batch.last_offset() &&
         batch.max_timestamp() == entry.timestamp;
}

Result<uint64_t> walk_start(const Segment& segment, int fd, const std::string& path, uint64_t size,
                            FdCache& fds, int64_t offset) {
  if (offset <= segment.base_offset) return uint64_t{0};
  const std::string index_path = index_path_of(path, suffix::kOffsetIndex);
  BARNABAS_ASSIGN(const OffsetPosition floor,
                  floor_in_file(segment.offset_index, segment.base_offset, segment.next_offset, fds,
                                index_path, segment.offset_index.entries.persisted(), offset - 1));
  if (floor.position == 0 || is_in_log(floor, fd, path, size)) {
    return uint64_t{floor.position};
  }
  log(LogLevel::kWarning, "storage", index_path + ": damaged, reading without it");
  return uint64_t{0};
}

Result<bool> is_largest_timestamp(const OffsetTimestamp& last, int fd, const std::string& path,
                                  uint64_t start, uint64_t end, uint64_t size) {
  BatchCursor cursor(fd, path, start, size);
  bool found = last.timestamp < 0;
  while (true) {
    BARNABAS_ASSIGN(const auto batch, cursor.next());
    if (!batch || (found && batch->position >= end)) return found;
    if (found) {
      if (batch->view.max_timestamp() > last.timestamp) return false;
    } else if (batch->view.last_offset() >= last.offset) {
      if (!is_of_batch(last, batch->view)) return false;
      found = true;
    }
  }
}

Result<int64_t> offset_near_position(const Segment& segment, const std::string& path,
                                     uint64_t position) {
  const uint32_t count = segment.offset_index.entries.persisted();
  if (count == 0) return segment.base_offset;
  const auto guess = static_cast<uint32_t>(uint64_t{count} * position / (segment.size + 1));
  const std::string index_path = index_path_of(path, suffix::kOffsetIndex);
  BARNABAS_ASSIGN(const UniqueFd fd, open_file(index_path, O_RDONLY));
  BARNABAS_ASSIGN(const std::optional<IndexEntry> found,
                  last_entry_where(fd.get(), index_path, kOffsetEntryBytes, count, guess,
                                   [&](const uint8_t* candidate) {
                                     return segment.offset_index.decode(candidate).position <=
                                            position;
                                   }));
  if (!found) return segment.base_offset;
  const OffsetPosition entry = segment.offset_index.decode(found->data());
  BARNABAS_ASSIGN(const UniqueFd log_fd, open_file(path, O_RDONLY));
  if (is_in_log(entry, log_fd.get(), path, segment.size)) return entry.offset;
  log(LogLevel::kWarning, "storage", index_path + ": damaged, reading without it");
  return segment.base_offset;
}

}  // namespace barnabas::storage
