// Compacts closed segments of one log into new ones, file by file: reads the part that is not clean
// yet into an offset map, then writes what is needed of a group of segments to
// `<base>.log.cleaned` and its indexes. Putting them in the place of the old ones is LogImpl's
// (log_clean.cc).
//
// Belongs to one thread and lives for one pass over a log. Takes no lock; the files it reads are
// closed segments, which do not change.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "storage/batch_filter.h"
#include "storage/cleaned_transactions.h"
#include "storage/offset_map.h"
#include "storage/segment.h"

namespace barnabas::storage {

/// What may be between an old segment and the new one in its place, for tests that stop there.
enum class CleanStep { kCleaned, kSwapNamed, kCommitted, kOldRenamed, kNewNamed, kDone };

/// What the broker's configuration says of compaction.
struct CleanSettings {
  size_t dedupe_buffer_bytes = 128u << 20;  // log.cleaner.dedupe.buffer.size, of one thread
  double dedupe_load_factor = 0.9;          // log.cleaner.io.buffer.load.factor
  size_t io_buffer_bytes = 512u << 10;      // log.cleaner.io.buffer.size, of one thread
  /// Told of bytes read or written; waits as log.cleaner.io.max.bytes.per.second demands. False:
  /// give up.
  std::function<bool(uint64_t bytes)> pace;
  /// Called before the first swap, when the whole log is durable: has to make the recovery point
  /// durable, too. Recovery takes the gaps that a swap leaves for a loss unless they lie below it;
  /// what tells it that they are meant otherwise (cleanup.policy, cleaner-offset-checkpoint) may
  /// change, or be behind.
  std::function<Status()> before_swaps;
  std::function<void(CleanStep)> on_step;  // empty but in tests
};

/// A closed segment, as a pass found it.
struct CleanerSegment {
  std::shared_ptr<Segment> segment;
  int64_t base_offset = 0;
  int64_t next_offset = 0;
  uint64_t size = 0;
  uint32_t offset_entries = 0;
  uint32_t time_entries = 0;
  std::string path;  // of the .log
};

/// What is to be cleaned, and by what rules. The segments from the log's first one on, up to the
/// first that may not be cleaned yet.
struct CleanTask {
  std::vector<CleanerSegment> segments;
  std::vector<AbortedTransaction> aborted;  // of the whole log
  LastRecords last_records;
  std::string directory;
  int64_t first_dirty_offset = 0;
  int64_t log_end_offset = 0;
  int64_t now_ms = 0;
  int64_t delete_retention_ms = 0;
  int64_t index_interval_bytes = 4096;
  uint64_t segment_bytes = 0;
  uint64_t segment_index_bytes = 0;
};

/// A new segment, in files that end with `.cleaned`; durable.
struct CleanedSegment {
  std::shared_ptr<Segment> segment;  // all of its index entries are in memory
  SharedFd file;
  int64_t clean_end = 0;  // with it in its place, everything below is clean
};

struct CleanStats {
  uint64_t bytes_read = 0;
  uint64_t bytes_kept = 0;
  uint64_t records_read = 0;
  uint64_t records_kept = 0;
  size_t keys = 0;         // in the map
  uint64_t map_bytes = 0;  // what the map took
  size_t segments_before = 0;
  size_t segments_after = 0;
  int64_t end_offset = 0;  // everything below is clean now
};

class Cleaner {
 public:
  /// `directory` is the log's own; it may be renamed meanwhile. Both are borrowed.
  Cleaner(const CleanTask& task, const CleanSettings& settings, int directory);

  /// Reads the keys from first_dirty_offset on, as many as there is room for. Errors of this and of
  /// clean(): kCorruptMessage with file and position, kRequestTimedOut when told to give up,
  /// kKafkaStorageError.
  Status build_map();
  /// Everything below it is known to the map.
  [[nodiscard]] int64_t map_end_offset() const { return map_end_offset_; }
  /// The segments below map_end_offset(), in groups that fit one segment.
  [[nodiscard]] std::vector<std::span<const CleanerSegment>> groups() const;
  Result<CleanedSegment> clean(std::span<const CleanerSegment> group);
  /// Nothing below is in the log any more, be it cleaned or not: the next group begins there.
  void skip_to(int64_t offset) { transactions_.skip_to(offset); }
  /// Whether clean() failed because an fsync did: there must be no other try on this disk.
  [[nodiscard]] bool sync_failed() const { return sync_failed_; }
  [[nodiscard]] CleanStats& stats() { return stats_; }

 private:
  class Output;

  Status pace(uint64_t bytes);
  /// True when the map is full.
  Result<bool> map_segment(const CleanerSegment& source, CleanedTransactions& transactions);
  Result<bool> map_batch(const record::BatchView& batch);
  Status clean_segment(const CleanerSegment& source, Output& output);

  const CleanTask& task_;
  const CleanSettings& settings_;
  const int directory_;
  OffsetMap map_;
  int64_t map_end_offset_;
  CleanedTransactions transactions_;
  FilterRules rules_;
  BatchFilter filter_;
  std::vector<uint8_t> expanded_;
  uint64_t unpaced_bytes_ = 0;
  bool sync_failed_ = false;
  CleanStats stats_;
};

}  // namespace barnabas::storage
