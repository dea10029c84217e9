// Rebuilds the producer state of a log at an offset: from the newest good snapshot, from what lies
// before it in the log (a snapshot holds one batch a producer, the memory is five), and from what
// was written since.
//
// Belongs to one thread. Borrows everything; REQUIRES that no segment changes meanwhile.
#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "storage/producer_state.h"
#include "storage/segment.h"

namespace barnabas::storage {

/// How far the log is walked back for the batches that a snapshot leaves out: at least this many
/// bytes and this many batches. The last five of whoever may still retry lie within them; reading
/// on would cost more than it is worth.
inline constexpr uint64_t kWalkBackBytes = 64u << 20;
inline constexpr uint64_t kWalkBackBatches = 4096;

class ProducerLoader {
 public:
  /// `snapshots`: the offsets of the snapshot files; damaged ones are removed from it, and from the
  /// disk unless `read_only`.
  ProducerLoader(const std::string& directory, FdCache& fds,
                 const std::vector<std::shared_ptr<Segment>>& segments,
                 std::set<int64_t>& snapshots, int64_t now_ms, bool read_only = false)
      : directory_(directory),
        fds_(fds),
        segments_(segments),
        snapshots_(snapshots),
        now_ms_(now_ms),
        read_only_(read_only) {}

  /// Fills `state` with what batches below `until` say.
  Status load(int64_t until);
  /// The aborted transactions whose markers lie in one of the segments, from the log alone. Leaves
  /// `state` as it is at the segment's end. REQUIRES: nothing was loaded before
  Result<TransactionIndex> rebuild_transactions(const Segment& segment);

  ProducerState state;
  int64_t snapshot_offset = 0;  // of the snapshot used; the log's first offset without one

 private:
  Result<bool> load_snapshot(int64_t until);
  Status walk_back();
  [[nodiscard]] Result<int64_t> offset_before(int64_t offset, uint64_t bytes) const;
  /// Returns how many batches there were; aborted transactions go to `aborted`, unless it is null.
  Result<uint64_t> replay(int64_t from, int64_t until, TransactionIndex* aborted = nullptr);

  const std::string& directory_;
  FdCache& fds_;
  const std::vector<std::shared_ptr<Segment>>& segments_;
  std::set<int64_t>& snapshots_;
  const int64_t now_ms_;  // wall clock
  const bool read_only_;
};

}  // namespace barnabas::storage
