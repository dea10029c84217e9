// LogLoader's reading of leader epochs: what the file says, where the batches agree.
#include <fcntl.h>

#include <algorithm>

#include "base/fd.h"
#include "storage/batch_cursor.h"
#include "storage/checkpoint_file.h"
#include "storage/log_file_name.h"
#include "storage/log_loader.h"

namespace barnabas::storage {

Status LogLoader::load_epochs(int64_t checked_from) {
  const std::string path = directory_ + "/" + std::string(kLeaderEpochCheckpointName);
  const auto lines = read_checkpoint_lines(path);
  std::string why;
  if (lines.ok()) {
    const auto read = LeaderEpochCache::from_lines(path, *lines);
    if (read.ok()) {
      BARNABAS_ASSIGN(log_.epochs, completed_epochs(*read));
      if (!options_.read_only && log_.epochs.entries() != read->entries()) {
        warn(path + ": lacks what the log begins with, adding it");
      }
      // What was written from here on says its own epoch.
      log_.epochs.truncate_from_end(checked_from);
      log_.epochs_changed |= log_.epochs.entries() != read->entries();
      if (epochs_fit(log_.epochs, checked_from)) return {};
      log_.epochs = {};
      why = path + ": does not fit the log";
    } else {
      why = read.error().message;
    }
  } else if (lines.error().sys_errno != ENOENT) {
    why = lines.error().message;
  } else if (checked_from == log_.segments.front()->base_offset) {
    return {};  // a new log has none yet
  }
  // Beside a reader the log may go on.
  if (!why.empty() && !options_.read_only) warn(why + ": rebuilding it from the log");
  log_.epochs_changed = true;
  return add_epochs_of_batches(log_.epochs, checked_from);
}

Result<LeaderEpochCache> LogLoader::completed_epochs(const LeaderEpochCache& read) {
  const int64_t log_start = std::max(options_.log_start_offset, log_.segments.front()->base_offset);
  LeaderEpochCache completed;
  // As when records were deleted, and the log's start has not been noted before a kill.
  if (!read.empty() && read.entries().front().start_offset > log_start) {
    BARNABAS_TRY(add_epochs_of_batches(completed, read.entries().front().start_offset));
  }
  for (const auto& [epoch, start_offset] : read.entries()) completed.assign(epoch, start_offset);
  return completed;
}

Status LogLoader::add_epochs_of_batches(LeaderEpochCache& epochs, int64_t until) {
  for (const auto& segment : log_.segments) {
    if (segment->base_offset >= until) break;
    const std::string log_path = path_of(segment->base_offset, suffix::kLog);
    BARNABAS_ASSIGN(const UniqueFd fd, open_file(log_path, O_RDONLY));
    BatchCursor cursor(fd.get(), log_path, 0, segment->size);
    while (true) {
      const auto batch = cursor.next();
      if (!batch.ok() && batch.error().code != ErrorCode::kCorruptMessage) return batch.error();
      if (!batch.ok() || !*batch || (*batch)->view.base_offset() >= until) break;
      if ((*batch)->view.leader_epoch() > epochs.latest_epoch()) {
        epochs.assign((*batch)->view.leader_epoch(), (*batch)->view.base_offset());
      }
    }
  }
  return {};
}

bool LogLoader::epochs_fit(const LeaderEpochCache& cache, int64_t end_offset) {
  const int64_t log_start = std::max(options_.log_start_offset, log_.segments.front()->base_offset);
  const auto& entries = cache.entries();
  if (entries.empty()) {
    const auto first = batches_around(log_start).next;
    return !first || first->epoch < 0;
  }
  BatchesAround at_start = batches_around(entries.front().start_offset);
  // Of what is deleted there need be no epoch.
  if (at_start.before && at_start.before->last_offset >= log_start && at_start.before->epoch >= 0) {
    return false;
  }
  for (size_t n = 0; n < entries.size(); ++n) {
    const auto& [epoch, start_offset] = entries[n];
    const int64_t until = n + 1 < entries.size() ? entries[n + 1].start_offset : end_offset;
    const BatchesAround at_end = batches_around(until);
    const auto is_of_epoch = [&, epoch = epoch](const KnownBatch& batch) {
      return batch.epoch < 0 || batch.epoch == epoch;
    };
    const std::optional<KnownBatch> first = at_start.next;
    const std::optional<KnownBatch> last = at_end.before;
    at_start = at_end;
    // Nothing of it is left: deleted, or compacted.
    if (until <= log_start || !first || !last || first->base_offset >= until) continue;
    if (!is_of_epoch(*first) || !is_of_epoch(*last)) return false;
    // The log may begin in the middle of a batch, but no epoch does.
    if (first->base_offset < start_offset && start_offset > log_start) return false;
  }
  return true;
}

LogLoader::BatchesAround LogLoader::batches_around(int64_t offset) {
  const auto& segments = log_.segments;
  const auto behind = std::partition_point(
      segments.begin(), segments.end(),
      [offset](const auto& segment) { return segment->base_offset <= offset; });
  const size_t holder =
      behind == segments.begin() ? 0 : static_cast<size_t>(behind - segments.begin()) - 1;
  BatchesAround around;
  // What cannot be read says nothing: whoever reads it hears that.
  const auto walk = [&](const Segment& segment) {
    const std::string path = path_of(segment.base_offset, suffix::kLog);
    const auto fd = open_file(path, O_RDONLY);
    if (!fd.ok()) return;
    const auto start = walk_start(segment, fd->get(), path, segment.size, fds_, offset);
    BatchCursor cursor(fd->get(), path, start.ok() ? *start : 0, segment.size);
    for (auto batch = cursor.next(); batch.ok() && *batch; batch = cursor.next()) {
      const record::BatchView& view = (*batch)->view;
      const KnownBatch known{view.base_offset(), view.last_offset(), view.leader_epoch()};
      if (known.last_offset >= offset) {
        around.next = known;
        return;
      }
      around.before = known;
    }
  };
  walk(*segments[holder]);
  const std::optional<KnownBatch> next = around.next;
  for (size_t n = holder; n > 0 && !around.before; --n) walk(*segments[n - 1]);
  around.next = next;
  for (size_t n = holder + 1; n < segments.size() && !around.next; ++n) walk(*segments[n]);
  return around;
}

}  // namespace barnabas::storage
