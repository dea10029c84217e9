#include "storage/producer_loader.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "base/logger.h"
#include "storage/batch_cursor.h"
#include "storage/checkpoint_file.h"
#include "storage/log_file_name.h"
#include "storage/producer_snapshot.h"

namespace barnabas::storage {

Status ProducerLoader::load(int64_t until) {
  BARNABAS_ASSIGN(const bool loaded, load_snapshot(until));
  if (loaded) {
    BARNABAS_TRY(walk_back());
  } else {
    snapshot_offset = segments_.front()->base_offset;
  }
  BARNABAS_TRY(replay(snapshot_offset, until));
  return {};
}

Result<TransactionIndex> ProducerLoader::rebuild_transactions(const Segment& segment) {
  // Open transactions are in the snapshot; nobody asks this state for earlier batches.
  BARNABAS_ASSIGN(const bool loaded, load_snapshot(segment.base_offset));
  if (!loaded) snapshot_offset = segments_.front()->base_offset;
  BARNABAS_TRY(replay(snapshot_offset, segment.base_offset));
  TransactionIndex index;
  BARNABAS_TRY(replay(segment.base_offset, segment.next_offset, &index));
  return index;
}

Result<bool> ProducerLoader::load_snapshot(int64_t until) {
  for (auto it = snapshots_.upper_bound(until); it != snapshots_.begin();) {
    --it;
    // What came between it and the first segment is gone: a transaction may have ended there.
    if (*it < segments_.front()->base_offset) return false;
    const std::string path = log_file_path(directory_, *it, suffix::kSnapshot);
    const auto bytes = read_small_file(path);
    auto decoded =
        bytes.ok() ? decode_producer_snapshot(*bytes, path) : Result<ProducerState>(bytes.error());
    if (decoded.ok()) {
      state = std::move(decoded).value();
      snapshot_offset = *it;
      return true;
    }
    log(LogLevel::kWarning, "storage",
        decoded.error().message + ": not used, an older one and the log make up for it");
    if (!read_only_) BARNABAS_TRY(remove_file(path));
    it = snapshots_.erase(it);
  }
  return false;
}

Status ProducerLoader::walk_back() {
  // In growing steps, as most producers' last batches lie close together at the end.
  constexpr uint64_t kFirstWindowBytes = 256 << 10;
  constexpr uint64_t kWindowGrowth = 8;
  const int64_t log_start = segments_.front()->base_offset;
  uint64_t window = kFirstWindowBytes;
  // The first step is for all: sequences may have passed 2^31-1 a moment ago.
  for (bool more = state.partial(); more; more = state.incomplete()) {
    BARNABAS_ASSIGN(const int64_t from, offset_before(snapshot_offset, window));
    ProducerState from_snapshot = std::exchange(state, {});
    const auto batches = replay(from, snapshot_offset);
    from_snapshot.complete_from(state);
    state = std::move(from_snapshot);
    if (!batches.ok()) return batches.error();
    if (from <= log_start || (window >= kWalkBackBytes && *batches >= kWalkBackBatches)) break;
    window *= kWindowGrowth;
  }
  return {};
}

Result<int64_t> ProducerLoader::offset_before(int64_t offset, uint64_t bytes) const {
  auto segment = std::partition_point(
      segments_.begin(), segments_.end(),
      [offset](const auto& candidate) { return candidate->base_offset < offset; });
  uint64_t covered = 0;
  while (segment != segments_.begin() && covered < bytes) {
    --segment;
    offset = (*segment)->base_offset;
    if (covered + (*segment)->size > bytes) {
      return offset_near_position(**segment, log_file_path(directory_, offset, suffix::kLog),
                                  (*segment)->size - (bytes - covered));
    }
    covered += (*segment)->size;
  }
  return offset;
}

Result<uint64_t> ProducerLoader::replay(int64_t from, int64_t until, TransactionIndex* aborted) {
  uint64_t batches = 0;
  for (const auto& segment : segments_) {
    if (segment->base_offset >= until) break;
    if (segment->next_offset <= from || segment->size == 0) continue;
    const std::string path = log_file_path(directory_, segment->base_offset, suffix::kLog);
    BARNABAS_ASSIGN(const UniqueFd fd, open_file(path, O_RDONLY));
    uint64_t position = 0;
    if (from > segment->base_offset) {
      BARNABAS_ASSIGN(position, walk_start(*segment, fd.get(), path, segment->size, fds_, from));
    }
    const OffsetBounds bounds{segment->base_offset, segment->next_offset};
    BatchCursor cursor(fd.get(), path, position, segment->size, OffsetOrder::at(position, bounds));
    while (true) {
      const auto batch = cursor.next();
      if (!batch.ok()) {
        if (batch.error().code != ErrorCode::kCorruptMessage) return batch.error();
        log(LogLevel::kWarning, "storage",
            batch.error().message + ": the producers of what follows in this segment are unknown");
        break;
      }
      if (!*batch) break;
      if (!(*batch)->in_place) {
        log(LogLevel::kError, "storage",
            cursor.out_of_place().message + ": its producer's last batch may not be known");
        continue;
      }
      if ((*batch)->view.base_offset() >= until) break;
      if ((*batch)->view.base_offset() < from) continue;
      const auto completed = state.apply((*batch)->view, (*batch)->head, now_ms_);
      if (completed && completed->aborted && aborted != nullptr) {
        aborted->append(state.aborted(*completed));
      }
      ++batches;
    }
  }
  return batches;
}

}  // namespace barnabas::storage
