// One segment of a log: its size, its indexes and what is known of its timestamps.
//
// State without a lock of its own: the Log's mutex guards it (during loading there is one thread).
// The functions that touch files take copies of what they need, so that Log calls them unlocked.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/fd.h"
#include "record/batch.h"
#include "storage/index_file.h"
#include "storage/offset_order.h"
#include "storage/transaction_index.h"

namespace barnabas::storage {

class FdCache;

struct Segment {
  explicit Segment(int64_t base);

  const int64_t base_offset;
  const double jitter_share;  // in [0, 1): of segment.jitter.ms, drawn at random
  int64_t next_offset;        // above every offset in the segment
  uint64_t size = 0;          // bytes of whole batches in the file
  OffsetIndex offset_index;
  TimeIndex time_index;
  TransactionIndex transaction_index;
  OffsetTimestamp max_timestamp;   // offset: last of the first batch that has it
  bool max_timestamp_seen = true;  // in the batches; false: only the time index's file says so
  int64_t first_timestamp = record::kNoTimestamp;  // the first batch's largest
  int64_t created_ms = 0;                          // wall clock, when it was made or loaded
  // Wall clock; known where no record has a timestamp, for retention, which takes none before.
  int64_t modified_ms = INT64_MAX;
  uint64_t bytes_since_index_entry = 0;
  OddRange odd;                       // batches that were found out of place
  bool index_damaged = false;         // a lookup went wrong: maintain() rebuilds it
  bool transactions_damaged = false;  // the same of the transaction index
  uint32_t transactions_synced = 0;   // entries of the transaction index that are durable
  // How often the indexes of a segment that is left were written, and which of it is durable.
  uint32_t index_files_written = 0;
  uint32_t index_files_synced = 0;
  std::weak_ptr<const UniqueFd> file;  // the .log, while FdCache or a reader has it open

  /// Takes note of a batch at the end of the file, with an index entry when one is due.
  void add_batch(const record::BatchView& batch, int32_t index_interval_bytes);
  /// The time index gets the largest timestamp, as the last thing before the segment is left.
  void finish_time_index() { time_index.maybe_append(max_timestamp); }
  /// Forgets everything known of the content.
  void clear();
};

/// Entries of one index that are still to be written.
struct PendingIndex {
  std::string path;
  uint64_t position = 0;
  std::vector<uint8_t> bytes;
  uint32_t count = 0;
};

PendingIndex pending_entries(const IndexEntries& entries, std::string path);
/// pwrite(2) at the position; the file is created when missing and ends after what is written.
Status write_pending(const PendingIndex& pending);

/// Writes offset and time index out, empty ones too: to new files where a fork has the old ones.
/// REQUIRES: nobody else uses the segment.
Status persist_indexes(Segment& segment, const std::string& directory);
/// Writes the transaction index out; an empty one is no file. REQUIRES: as above.
Status persist_transaction_index(TransactionIndex& index, const std::string& path);

/// Fills an empty segment from the headers in its file, up to `end`. On kCorruptMessage the segment
/// holds what came before. REQUIRES: nobody else uses the segment.
Status rebuild_from_headers(Segment& segment, int fd, const std::string& path, uint64_t end,
                            int32_t index_interval_bytes, const OffsetBounds& bounds);

/// The last batch position that an index file knows for offsets up to `offset`, among its first
/// `count` entries; the segment's start when it knows none.
/// `next_offset` is about where the segment ends, to guess from.
Result<OffsetPosition> floor_in_file(const OffsetIndex& decoder, int64_t base_offset,
                                     int64_t next_offset, FdCache& fds,
                                     const std::string& index_path, uint32_t count, int64_t offset);

/// Whether the batch that an entry of an offset index means lies where it says, in the first `size`
/// bytes of a .log. Loading looks at an index's ends only, so that what it says in between is
/// believed once this was seen. A search that a wrong entry misleads ends at that one, or before
/// where it should, which costs time only.
bool is_in_log(const OffsetPosition& entry, int fd, const std::string& path, uint64_t size);
/// Whether an entry of a time index can mean `batch`.
bool is_of_batch(const OffsetTimestamp& entry, const record::BatchView& batch);

/// Where a walk over the first `size` bytes may begin that is to pass the batch of `offset` and the
/// one before it: at an indexed batch, or the segment's start. REQUIRES: nobody else uses the
/// segment.
Result<uint64_t> walk_start(const Segment& segment, int fd, const std::string& path, uint64_t size,
                            FdCache& fds, int64_t offset);

/// Whether `last`, of a time index, has the largest timestamp as far as batches tell from `start`
/// on, where its own may follow, up to the one that begins at or after `end`. One that says that
/// there is no timestamp begins with the segment.
Result<bool> is_largest_timestamp(const OffsetTimestamp& last, int fd, const std::string& path,
                                  uint64_t start, uint64_t end, uint64_t size);

/// The last offset of an indexed batch that starts at or before `position`; the segment's base when
/// there is none. `path` is that of the .log.
Result<int64_t> offset_near_position(const Segment& segment, const std::string& path,
                                     uint64_t position);

}  // namespace barnabas::storage
