#include "storage/log_loader.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "base/file_copy.h"
#include "base/logger.h"
#include "storage/batch_cursor.h"
#include "storage/checkpoint_file.h"
#include "storage/fd_cache.h"
#include "storage/log_file_name.h"
#include "storage/producer_loader.h"

namespace barnabas::storage {
namespace {

Result<uint64_t> file_size(int fd, const std::string& path) {
  struct stat info {};
  if (::fstat(fd, &info) != 0) return system_error(path);
  return static_cast<uint64_t>(info.st_size);
}

/// The entries of an index file when its size is that of whole entries; nullopt when it is missing
/// or cannot be one.
Result<std::optional<std::vector<uint8_t>>> last_and_first_entry(const std::string& path,
                                                                 size_t entry_bytes,
                                                                 uint32_t& count) {
  const std::optional<std::vector<uint8_t>> damaged;
  auto opened = open_file(path, O_RDONLY);
  if (!opened.ok()) {
    if (opened.error().sys_errno == ENOENT) return damaged;
    return std::move(opened).error();
  }
  BARNABAS_ASSIGN(const uint64_t bytes, file_size(opened->get(), path));
  if (bytes % entry_bytes != 0) return damaged;
  count = static_cast<uint32_t>(bytes / entry_bytes);
  std::vector<uint8_t> entries(count == 0 ? 0 : 2 * entry_bytes);
  if (count == 0) return std::optional(entries);
  BARNABAS_TRY([&]() -> Status {
    const MutableBytes both(entries);
    BARNABAS_ASSIGN(const size_t last,
                    read_at(opened->get(), both.first(entry_bytes), bytes - entry_bytes, path));
    BARNABAS_ASSIGN(const size_t first, read_at(opened->get(), both.subspan(entry_bytes), 0, path));
    if (last + first < both.size()) return malformed_file(path, "changed while it was read");
    return {};
  }());
  return std::optional(entries);
}

}  // namespace

LogLoader::LogLoader(std::string directory, const LogConfig& config, const LogOpenOptions& options,
                     FdCache& fds, Clock& clock)
    : directory_(std::move(directory)),
      config_(config),
      options_(options),
      fds_(fds),
      clock_(clock) {}

std::string LogLoader::path_of(int64_t base_offset, std::string_view file_suffix) const {
  return log_file_path(directory_, base_offset, file_suffix);
}

void LogLoader::warn(const std::string& message) const {
  log(LogLevel::kWarning, "storage", message);
}

Result<LoadedLog> LogLoader::load() {
  BARNABAS_ASSIGN(
      files_, options_.read_only ? list_log_directory(directory_) : tidy_log_directory(directory_));
  log_.snapshots = files_.snapshots;
  BARNABAS_TRY(open_segments());
  size_t first = first_unchecked();
  for (size_t n = 0; n < first && n < log_.segments.size(); ++n) {
    const Status loaded = load_trusted(n);
    if (loaded.ok()) continue;
    if (n + 1 < log_.segments.size() || loaded.error().code != ErrorCode::kCorruptMessage) {
      return loaded.error();
    }
    // Beside a reader the log may have been written to meanwhile.
    if (!options_.read_only) {
      warn(loaded.error().message + ": checked in full, though the last stop was clean");
    }
    first = n;
  }
  const bool all_trusted = first >= log_.segments.size();
  const int64_t trusted_end =
      all_trusted ? log_.segments.back()->next_offset : log_.segments[first]->base_offset;
  BARNABAS_TRY(load_epochs(trusted_end));
  BARNABAS_TRY(load_producers(trusted_end));
  BARNABAS_TRY(load_transaction_indexes(first));
  if (!all_trusted) BARNABAS_TRY(check_segments(first));
  log_.log_end_offset = log_.segments.back()->next_offset;

  log_.log_start_offset = std::max(options_.log_start_offset, log_.segments.front()->base_offset);
  if (log_.log_end_offset < log_.log_start_offset) {
    warn(directory_ + ": ends at " + std::to_string(log_.log_end_offset) +
         ", before the log start offset " + std::to_string(log_.log_start_offset) +
         ": starting over there");
    BARNABAS_TRY(drop_segments_from(0));
    log_.epochs = {};
    log_.epochs_changed = true;
    log_.producers = {};
    BARNABAS_TRY(add_empty_segment(log_.log_start_offset));
    log_.log_end_offset = log_.log_start_offset;
  }
  log_.epochs_changed |= log_.epochs.truncate_from_end(log_.log_end_offset);
  log_.epochs_changed |= log_.epochs.truncate_from_start(log_.log_start_offset);
  log_.recovery_point =
      options_.clean_shutdown && all_trusted
          ? log_.log_end_offset
          : std::clamp(options_.recovery_point, log_.log_start_offset, log_.log_end_offset);
  // One that does not fit the log is of another one: all is dirty then.
  log_.cleaned_offset =
      options_.cleaned_offset <= log_.log_end_offset ? options_.cleaned_offset : 0;
  log_.producers.remove_expired(clock_.wall_ms(), config_.producer_id_expiration_ms);
  BARNABAS_TRY(drop_snapshots());
  if (!options_.read_only) BARNABAS_TRY(leave_forks(*log_.segments.back()));
  log_.report.log_end_offset = log_.log_end_offset;
  for (const auto& segment : log_.segments) segment->created_ms = clock_.wall_ms();
  return std::move(log_);
}

Status LogLoader::leave_forks(const Segment& active) {
  for (const std::string_view file_suffix :
       {suffix::kLog, suffix::kOffsetIndex, suffix::kTimeIndex, suffix::kTransactionIndex}) {
    const std::string path = path_of(active.base_offset, file_suffix);
    BARNABAS_ASSIGN(const bool left, leave_other_names(path));
    if (left) fds_.forget(path);
  }
  return {};
}

Status LogLoader::open_segments() {
  // Their removal was not durable, and nothing says that they are whole.
  while (files_.segments.size() > 1 &&
         *std::next(files_.segments.begin()) <= options_.log_start_offset) {
    const int64_t base_offset = *files_.segments.begin();
    if (!options_.read_only) BARNABAS_TRY(remove_segment(base_offset));
    files_.segments.erase(files_.segments.begin());
  }
  for (const int64_t base_offset : files_.segments) {
    log_.segments.push_back(std::make_shared<Segment>(base_offset));
  }
  if (log_.segments.empty()) {
    BARNABAS_TRY(add_empty_segment(options_.log_start_offset));
  }
  // Of a segment that is not the last, the next one's base is the bound that matters.
  for (size_t n = 0; n + 1 < log_.segments.size(); ++n) {
    log_.segments[n]->next_offset = log_.segments[n + 1]->base_offset;
  }
  return {};
}

Status LogLoader::add_empty_segment(int64_t base_offset) {
  if (!options_.read_only) {
    BARNABAS_ASSIGN(const UniqueFd created,
                    open_file(path_of(base_offset, suffix::kLog), O_RDWR | O_CREAT));
  }
  log_.segments.push_back(std::make_shared<Segment>(base_offset));
  return {};
}

size_t LogLoader::first_unchecked() const {
  if (options_.clean_shutdown) return log_.segments.size();
  // Of a segment that ends right at the recovery point the indexes need not be durable: they are
  // written when it is left.
  const auto after = std::partition_point(
      log_.segments.begin(), log_.segments.end(),
      [this](const auto& segment) { return segment->base_offset < options_.recovery_point; });
  const auto holder = after == log_.segments.begin() ? after : after - 1;
  return static_cast<size_t>(holder - log_.segments.begin());
}

Status LogLoader::load_trusted(size_t n) {
  Segment& segment = *log_.segments[n];
  const bool last = n + 1 == log_.segments.size();
  const std::string path = path_of(segment.base_offset, suffix::kLog);
  BARNABAS_ASSIGN(const UniqueFd fd, open_file(path, O_RDONLY));
  BARNABAS_ASSIGN(const uint64_t bytes, file_size(fd.get(), path));
  if (bytes == 0) return last ? check_end(path, segment.base_offset) : Status();
  BARNABAS_ASSIGN(bool good, indexes_look_good(segment, path, fd.get(), bytes));
  // What is appended goes by the largest timestamp so far. Closed segments can wait: LogImpl sees
  // to that before it acts by one.
  if (good && last) {
    BARNABAS_ASSIGN(good, time_index_fits(segment, path, fd.get(), bytes));
  }
  if (good && last) return walk_tail(segment, path, fd.get(), bytes);
  if (good) {
    segment.size = bytes;
    segment.max_timestamp_seen = false;
    return {};
  }
  // Of a log that is in use the newest entries are in its broker's memory only.
  if (!options_.read_only) warn(path + ": its indexes are missing or damaged, rebuilding them");
  const int64_t next_offset = segment.next_offset;
  reindexed_.insert(segment.base_offset);
  const OffsetBounds bounds{segment.base_offset, last ? INT64_MAX : next_offset,
                            last ? gaps_end() : INT64_MAX};
  const Status rebuilt = rebuild(segment, path, fd.get(), bytes, bounds);
  if (last) return rebuilt.ok() ? check_end(path, segment.next_offset) : rebuilt;
  // Old data is not cut for an index's sake: what lies behind a bad header is still there to be
  // read from its own offset on, and whoever reads it checks it.
  segment.size = bytes;
  segment.next_offset = next_offset;
  if (!rebuilt.ok() && rebuilt.error().code == ErrorCode::kCorruptMessage) {
    log(LogLevel::kError, "storage", rebuilt.error().message + ": corrupt, left as it is");
    return {};
  }
  return rebuilt;
}

Result<bool> LogLoader::indexes_look_good(Segment& segment, const std::string& path, int fd,
                                          uint64_t file_bytes) {
  uint32_t offset_count = 0;
  uint32_t time_count = 0;
  BARNABAS_ASSIGN(const auto offsets,
                  last_and_first_entry(path_of(segment.base_offset, suffix::kOffsetIndex),
                                       kOffsetEntryBytes, offset_count));
  BARNABAS_ASSIGN(const auto times,
                  last_and_first_entry(path_of(segment.base_offset, suffix::kTimeIndex),
                                       kTimeEntryBytes, time_count));
  if (!offsets || !times) return false;
  BatchCursor first_batch(fd, path, 0, file_bytes);
  const auto first = first_batch.next();
  if (!first.ok()) {
    if (first.error().code == ErrorCode::kCorruptMessage) return false;
    return first.error();
  }
  segment.first_timestamp = (*first)->view.max_timestamp();
  if (offset_count > 0) {
    const OffsetPosition last_entry = segment.offset_index.decode(offsets->data());
    const OffsetPosition first_entry =
        segment.offset_index.decode(offsets->data() + kOffsetEntryBytes);
    // An entry is never at the segment's first byte: zeroes are what a crash or a preallocated file
    // leaves. Otherwise the batch it points at must be the one it means.
    if (last_entry.position == 0 || last_entry.position >= file_bytes ||
        first_entry.position == 0 || first_entry.position > last_entry.position ||
        first_entry.offset > last_entry.offset) {
      return false;
    }
    BatchCursor at_entry(fd, path, last_entry.position, file_bytes);
    const auto batch = at_entry.next();
    if (!batch.ok() || (*batch)->view.last_offset() != last_entry.offset) return false;
  }
  if (time_count > 0) {
    const OffsetTimestamp last_entry = segment.time_index.decode(times->data());
    const OffsetTimestamp first_entry = segment.time_index.decode(times->data() + kTimeEntryBytes);
    if (last_entry.timestamp < std::max(segment.first_timestamp, int64_t{0}) ||
        last_entry.timestamp < first_entry.timestamp || last_entry.offset < segment.base_offset ||
        last_entry.offset < first_entry.offset ||
        (time_count > 1 && last_entry.timestamp == first_entry.timestamp)) {
      return false;
    }
    segment.time_index.last = last_entry;
    segment.max_timestamp = last_entry;
  } else if (segment.first_timestamp >= 0) {
    return false;  // leaving a segment always adds its largest timestamp
  }
  segment.offset_index.entries.reset(offset_count);
  segment.time_index.entries.reset(time_count);
  if (offset_count > 0) segment.size = segment.offset_index.decode(offsets->data()).position;
  return true;
}

Result<bool> LogLoader::time_index_fits(const Segment& segment, const std::string& path, int fd,
                                        uint64_t file_bytes) {
  const OffsetTimestamp last = segment.max_timestamp;
  uint64_t start = 0;
  if (last.timestamp >= 0) {
    BARNABAS_ASSIGN(start, walk_start(segment, fd, path, file_bytes, fds_, last.offset));
  }
  // The walk over the tail sees the others.
  auto fits = is_largest_timestamp(last, fd, path, start, segment.size, file_bytes);
  if (!fits.ok() && fits.error().code == ErrorCode::kCorruptMessage) return true;  // it, too
  return fits;
}

Status LogLoader::walk_tail(Segment& segment, const std::string& path, int fd,
                            uint64_t file_bytes) {
  // The entry's own batch comes again, which is where the count of bytes since the entry starts.
  segment.next_offset = segment.base_offset;
  BARNABAS_TRY(rebuild_from_headers(segment, fd, path, file_bytes, config_.index_interval_bytes,
                                    {.base_offset = segment.base_offset, .gaps_end = gaps_end()}));
  return check_end(path, segment.next_offset);
}

Status LogLoader::check_end(const std::string& path, int64_t next_offset) const {
  if (!end_is_known() || next_offset == options_.recovery_point) return {};
  return Error{ErrorCode::kCorruptMessage,
               path + ": ends at offset " + std::to_string(next_offset) + ", not at " +
                   std::to_string(options_.recovery_point) + " where the last stop left it",
               0};
}

Status LogLoader::rebuild(Segment& segment, const std::string& path, int fd, uint64_t file_bytes,
                          const OffsetBounds& bounds) {
  segment.clear();
  const Status walked =
      rebuild_from_headers(segment, fd, path, file_bytes, config_.index_interval_bytes, bounds);
  segment.finish_time_index();
  if (!options_.read_only) BARNABAS_TRY(persist_indexes(segment, directory_));
  ++segment.index_files_written;
  return walked;
}

Status LogLoader::drop_segments_from(size_t first) {
  for (size_t n = first; n < log_.segments.size() && !options_.read_only; ++n) {
    BARNABAS_TRY(remove_segment(log_.segments[n]->base_offset));
  }
  log_.segments.resize(first);
  return {};
}

Status LogLoader::remove_segment(int64_t base_offset) {
  for (const std::string_view file_suffix :
       {suffix::kOffsetIndex, suffix::kTimeIndex, suffix::kTransactionIndex,
        suffix::kTransactionChecksum, suffix::kLog}) {
    const std::string path = path_of(base_offset, file_suffix);
    fds_.forget(path);
    BARNABAS_TRY(remove_file(path));
  }
  return {};
}

Status LogLoader::load_producers(int64_t until) {
  ProducerLoader loader(directory_, fds_, log_.segments, log_.snapshots, clock_.wall_ms(),
                        options_.read_only);
  BARNABAS_TRY(loader.load(until));
  log_.producers = std::move(loader.state);
  log_.last_snapshot_offset = loader.snapshot_offset;
  return {};
}

Status LogLoader::load_transaction_indexes(size_t end) {
  for (size_t n = 0; n < std::min(end, log_.segments.size()); ++n) {
    Segment& segment = *log_.segments[n];
    const std::string path = path_of(segment.base_offset, suffix::kTransactionIndex);
    BARNABAS_ASSIGN(const auto stored,
                    read_transaction_index(path, segment.base_offset, segment.next_offset));
    // One that is not there says that nothing was aborted, unless more was known, or its siblings
    // are gone as well.
    const bool empty = !stored || stored->entries.empty();
    const bool cut = !stored || stored->contradicted ||
                     (empty ? -1 : stored->entries.back().last_offset) < known_abort(segment);
    if (cut || (empty && reindexed_.contains(segment.base_offset))) {
      if (cut) {
        warn(path +
             (!stored                ? ": damaged"
              : empty                ? ": missing"
              : stored->contradicted ? ": damaged"
                                     : ": cut short") +
             ", rebuilding it");
      }
      BARNABAS_TRY(rebuild_transaction_index(segment));
    } else if (!empty) {
      TransactionIndex& index = segment.transaction_index;
      index.entries.reset(static_cast<uint32_t>(stored->entries.size()));
      index.last_abort_offset = stored->entries.back().last_offset;
      index.checksum = stored->checksum;
      index.vouched = stored->vouched;
      log_.last_abort_offset = index.last_abort_offset;
    }
  }
  return {};
}

int64_t LogLoader::known_abort(const Segment& segment) const {
  const std::vector<int64_t>& known = options_.last_aborts;
  const auto after = std::lower_bound(known.begin(), known.end(), segment.next_offset);
  const bool inside = after != known.begin() && *(after - 1) >= segment.base_offset;
  return inside ? *(after - 1) : -1;
}

Status LogLoader::rebuild_transaction_index(Segment& segment) {
  ProducerLoader loader(directory_, fds_, log_.segments, log_.snapshots, clock_.wall_ms(),
                        options_.read_only);
  BARNABAS_ASSIGN(segment.transaction_index, loader.rebuild_transactions(segment));
  log_.last_abort_offset = segment.next_offset;
  if (options_.read_only) return {};
  return persist_transaction_index(segment.transaction_index,
                                   path_of(segment.base_offset, suffix::kTransactionIndex));
}

Status LogLoader::drop_snapshots() {
  if (options_.read_only) return {};
  for (auto it = log_.snapshots.begin(); it != log_.snapshots.end();) {
    const int64_t offset = *it;
    const bool of_segment =
        std::any_of(log_.segments.begin(), log_.segments.end(),
                    [offset](const auto& segment) { return segment->base_offset == offset; });
    // The newest one, of a clean stop, may lie inside the active segment.
    const bool of_clean_stop =
        offset > log_.segments.back()->base_offset && offset == *log_.snapshots.rbegin();
    if (offset <= log_.log_end_offset && (of_segment || of_clean_stop)) {
      ++it;
      continue;
    }
    const std::string path = path_of(offset, suffix::kSnapshot);
    BARNABAS_TRY(remove_file(path));
    it = log_.snapshots.erase(it);
  }
  return {};
}

}  // namespace barnabas::storage
