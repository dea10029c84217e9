// Turns a partition's directory into a log: finds its segments, finishes what a crash interrupted,
// checks what may be damaged and rebuilds what can be rebuilt.
//
// After a clean stop only the last segment's tail is walked over and the indexes get a cheap look.
// After an unclean one, every batch from the recovery point's segment on is read and checked; the
// log is cut at the first bad one. Good batches behind it make it corruption instead of a torn
// tail: what is cut is then kept in `<base>.log.corrupt-<position>`. Nothing goes without a line in
// the log and in the report.
//
// Belongs to one thread, lives for one load.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "storage/leader_epoch_cache.h"
#include "storage/log.h"
#include "storage/log_files.h"
#include "storage/producer_state.h"
#include "storage/segment.h"
#include "storage/segment_scanner.h"

namespace barnabas::storage {

struct LoadedLog {
  std::vector<std::shared_ptr<Segment>> segments;  // at least one, by base offset
  int64_t log_start_offset = 0;
  int64_t log_end_offset = 0;
  int64_t recovery_point = 0;
  int64_t cleaned_offset = 0;
  LeaderEpochCache epochs;
  bool epochs_changed = false;  // the file has to be written
  ProducerState producers;
  int64_t last_snapshot_offset = 0;
  int64_t last_abort_offset = -1;  // of the marker; no other lies above it
  std::set<int64_t> snapshots;     // offsets of the snapshot files there are
  RecoveryReport report;
};

class LogLoader {
 public:
  LogLoader(std::string directory, const LogConfig& config, const LogOpenOptions& options,
            FdCache& fds, Clock& clock);

  Result<LoadedLog> load();

 private:
  Status open_segments();
  /// What is going to be written to must not be a fork's, or whose fork this is, as well.
  Status leave_forks(const Segment& active);
  Status add_empty_segment(int64_t base_offset);
  /// Index of the first segment whose batches must be checked; segments.size() for none.
  [[nodiscard]] size_t first_unchecked() const;
  Status load_trusted(size_t n);
  Result<bool> indexes_look_good(Segment& segment, const std::string& path, int fd,
                                 uint64_t file_bytes);
  Result<bool> time_index_fits(const Segment& segment, const std::string& path, int fd,
                               uint64_t file_bytes);
  Status walk_tail(Segment& segment, const std::string& path, int fd, uint64_t file_bytes);
  Status rebuild(Segment& segment, const std::string& path, int fd, uint64_t file_bytes,
                 const OffsetBounds& bounds);
  /// kCorruptMessage when a clean stop left another end than `next_offset`.
  [[nodiscard]] Status check_end(const std::string& path, int64_t next_offset) const;

  Status check_segments(size_t first);
  Result<bool> check_segment(size_t n);
  /// Whether the recovery point is where the last stop left the log's end.
  [[nodiscard]] bool end_is_known() const {
    return options_.clean_shutdown && options_.recovery_point > 0;
  }
  /// Every batch behind a gap that compaction has left ends at or below it.
  [[nodiscard]] int64_t gaps_end() const;
  /// All below it was durable, or compacted, before the last stop.
  [[nodiscard]] int64_t settled_offset() const;
  Status note_epoch(const record::BatchView& batch, const std::string& path,
                    SegmentScanner& scanner);
  Status cut(Segment& segment, const std::string& path, int fd, uint64_t file_bytes,
             const std::string& reason, bool keep);
  /// Removes the segments from `first` on, which follow something bad; keeps good batches aside.
  Status drop_checked_segments(size_t first);
  Status drop_segments_from(size_t first);
  Status remove_segment(int64_t base_offset);

  /// Of the segments before `end`, whose batches are trusted.
  Status load_transaction_indexes(size_t end);
  Status rebuild_transaction_index(Segment& segment);
  /// Of the last abort that the last clean stop knew of in the segment; -1 for none.
  [[nodiscard]] int64_t known_abort(const Segment& segment) const;
  Status load_epochs(int64_t checked_from);
  /// What a file says, and what there is in the log before that begins.
  Result<LeaderEpochCache> completed_epochs(const LeaderEpochCache& read);
  Status add_epochs_of_batches(LeaderEpochCache& epochs, int64_t until);
  /// Whether the first and the last batch of each epoch's offsets have it, as far as there are any.
  bool epochs_fit(const LeaderEpochCache& cache, int64_t end_offset);
  struct KnownBatch {
    int64_t base_offset = 0;
    int64_t last_offset = 0;
    int32_t epoch = -1;
  };
  /// The last batch that ends below an offset, and the first that does not, of trusted segments.
  struct BatchesAround {
    std::optional<KnownBatch> before;
    std::optional<KnownBatch> next;
  };
  BatchesAround batches_around(int64_t offset);
  Status load_producers(int64_t until);
  Status drop_snapshots();

  [[nodiscard]] std::string path_of(int64_t base_offset, std::string_view file_suffix) const;
  void warn(const std::string& message) const;

  const std::string directory_;
  const LogConfig& config_;
  const LogOpenOptions& options_;
  FdCache& fds_;
  Clock& clock_;
  LogFiles files_;
  std::set<int64_t> reindexed_;  // base offsets of trusted segments whose indexes were missing
  LoadedLog log_;
};

}  // namespace barnabas::storage
