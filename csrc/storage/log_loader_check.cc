// LogLoader's reading back of segments that were not surely written.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "base/file_copy.h"
#include "base/logger.h"
#include "base/planted.h"
#include "storage/fd_cache.h"
#include "storage/log_file_name.h"
#include "storage/log_loader.h"
#include "storage/producer_snapshot.h"
#include "storage/segment_scanner.h"
#include "storage/set_aside.h"

namespace barnabas::storage {

Status LogLoader::check_segments(size_t first) {
  log_.report.checked = true;
  int64_t expected_offset = log_.segments[first]->base_offset;
  for (size_t n = first; n < log_.segments.size(); ++n) {
    const int64_t base_offset = log_.segments[n]->base_offset;
    // A roll starts where the log ends. A gap means that the power took the predecessor's tail, or
    // a whole segment; only compaction leaves gaps that are meant. It may have been a while ago.
    // What was durable cannot be lost: below the recovery point, too, there are no other gaps.
    const bool compacted = config_.compact || base_offset <= settled_offset();
    if (base_offset > expected_offset && !compacted) {
      log_.report.reason = "offsets " + std::to_string(expected_offset) + " to " +
                           std::to_string(base_offset - 1) + " are missing";
      return drop_checked_segments(n);
    }
    if (base_offset < expected_offset) {
      // As when the tail of a log came back that had been cut: offsets may be there once only.
      log_.report.reason = "offsets " + std::to_string(base_offset) + " to " +
                           std::to_string(expected_offset - 1) + " are there";
      return drop_checked_segments(n);
    }
    BARNABAS_ASSIGN(const bool cut_here, check_segment(n));
    if (cut_here) return drop_checked_segments(n + 1);
    expected_offset = log_.segments[n]->next_offset;
  }
  return {};
}

Status LogLoader::drop_checked_segments(size_t first) {
  for (size_t n = first; n < log_.segments.size(); ++n) {
    const std::string path = path_of(log_.segments[n]->base_offset, suffix::kLog);
    if (options_.read_only) {
      warn(path + ": not read, as " + log_.report.reason + " before it");
      continue;
    }
    // What holds good batches is kept aside.
    BARNABAS_ASSIGN(const SetAside aside, set_aside_if_good(path, log_.segments[n]->base_offset));
    log_.report.bytes_set_aside += aside.bytes;
    if (log_.report.set_aside_path.empty()) log_.report.set_aside_path = aside.path;
    warn(path + (aside.path.empty() ? ": removed, as " : ": set aside as " + aside.path + ", as ") +
         log_.report.reason + " before it");
  }
  BARNABAS_TRY(drop_segments_from(first));
  return options_.read_only ? Status() : sync_directory(directory_);
}

Result<bool> LogLoader::check_segment(size_t n) {
  Segment& segment = *log_.segments[n];
  segment.clear();
  const std::string path = path_of(segment.base_offset, suffix::kLog);
  BARNABAS_ASSIGN(const UniqueFd fd, open_file(path, options_.read_only ? O_RDONLY : O_RDWR));
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) return system_error(path);
  const uint64_t file_bytes = static_cast<uint64_t>(info.st_size);
  const bool last_file = n + 1 == log_.segments.size();
  OffsetBounds bounds{.base_offset = segment.base_offset, .gaps_end = gaps_end()};
  if (!last_file) bounds.gaps_end = std::min(bounds.gaps_end, log_.segments[n + 1]->base_offset);
  SegmentScanner scanner(fd.get(), path, file_bytes, OffsetOrder(bounds));
  std::string reason;
  while (reason.empty()) {
    BARNABAS_ASSIGN(const auto batch, scanner.next());
    if (!batch) {
      reason = scanner.reason();
      break;
    }
    if (strikes<Bug::kRecoveryCutsOneMore>() &&
        segment.size + batch->view.size_bytes() == file_bytes) {
      reason = "a planted bug";
    } else {
      segment.add_batch(batch->view, config_.index_interval_bytes);
      const auto completed = log_.producers.apply(batch->view, batch->head, clock_.wall_ms());
      if (completed && completed->aborted) {
        segment.transaction_index.append(log_.producers.aborted(*completed));
        log_.last_abort_offset = completed->last_offset;
      }
      BARNABAS_TRY(note_epoch(batch->view, path, scanner));
    }
  }
  log_.report.bytes_checked += segment.size;
  const bool bad = segment.size < file_bytes;
  if (bad) {
    // A torn tail is not whole, and a clean stop leaves none.
    bool keep = scanner.out_of_place() || options_.clean_shutdown;
    if (!keep) {
      BARNABAS_ASSIGN(keep, scanner.good_batch_after(segment.size, segment.base_offset));
    }
    BARNABAS_TRY(cut(segment, path, fd.get(), file_bytes, reason, keep));
  }
  const bool last = bad || last_file;
  if (!last) segment.finish_time_index();
  if (options_.read_only) return bad;
  BARNABAS_TRY(persist_transaction_index(segment.transaction_index,
                                         path_of(segment.base_offset, suffix::kTransactionIndex)));
  if (segment.size > 0) {
    BARNABAS_TRY(persist_indexes(segment, directory_));
  } else {
    // Ten thousand empty partitions need no twenty thousand empty indexes; stale ones must go.
    BARNABAS_TRY(remove_file(path_of(segment.base_offset, suffix::kOffsetIndex)));
    BARNABAS_TRY(remove_file(path_of(segment.base_offset, suffix::kTimeIndex)));
  }
  return bad;
}

int64_t LogLoader::gaps_end() const {
  // Who only reads, and would change nothing, need not know how a log came to be what it is.
  if (options_.read_only) return INT64_MAX;
  // Where a clean stop left the end there were no gaps above it, whoever made them.
  return config_.compact && !end_is_known() ? INT64_MAX : settled_offset();
}

int64_t LogLoader::settled_offset() const {
  return std::max(options_.cleaned_offset, options_.recovery_point);
}

Status LogLoader::note_epoch(const record::BatchView& batch, const std::string& path,
                             SegmentScanner& scanner) {
  const int32_t epoch = batch.leader_epoch();
  if (epoch <= log_.epochs.latest_epoch()) return {};
  // It lies outside of the CRC, and epochs do not go back.
  BARNABAS_ASSIGN(const auto following, scanner.following());
  if (following && following->leader_epoch < epoch &&
      following->leader_epoch >= std::max(log_.epochs.latest_epoch(), 0)) {
    log(LogLevel::kError, "storage",
        path + ": leader epoch " + std::to_string(epoch) + " before " +
            std::to_string(following->leader_epoch) + " at offset " +
            std::to_string(batch.base_offset()) + " is not believed");
    return {};
  }
  log_.epochs_changed |= log_.epochs.assign(epoch, batch.base_offset());
  return {};
}

Status LogLoader::cut(Segment& segment, const std::string& path, int fd, uint64_t file_bytes,
                      const std::string& reason, bool keep) {
  const uint64_t position = segment.size;
  const uint64_t bytes = file_bytes - position;
  const std::string what = path + ": " + reason + " at byte " + std::to_string(position) +
                           " (offset " + std::to_string(segment.next_offset) + "): ";
  log_.report.reason = reason;
  if (options_.read_only) {
    log_.report.bytes_cut += bytes;
    warn(what + std::to_string(bytes) + " bytes are not read");
    return {};
  }
  if (keep) {
    BARNABAS_ASSIGN(const std::string aside, copy_aside(fd, path, position, bytes));
    log_.report.bytes_set_aside += bytes;
    log_.report.set_aside_path = aside;
    log(LogLevel::kError, "storage",
        what + "corrupt, as good batches follow; cut off " + std::to_string(bytes) +
            " bytes, kept in " + aside);
  } else {
    log_.report.bytes_cut += bytes;
    warn(what + "a torn tail, cut off " + std::to_string(bytes) + " bytes");
  }
  BARNABAS_TRY(leave_other_names(path));  // a fork's file stays as it is
  BARNABAS_ASSIGN(const UniqueFd own, open_file(path, O_RDWR));
  BARNABAS_TRY(truncate_file(own.get(), position, path));
  // Other batches will take this place, and what was there must not come back behind them.
  return sync_data(own.get(), path);
}

}  // namespace barnabas::storage
