// What lies in a partition's directory, and the cleaning up after a crash that needs no look into
// the data: leftovers of deletions and interrupted compaction swaps.
#pragma once

#include <cstdint>
#include <set>
#include <string>

#include "base/result.h"

namespace barnabas::storage {

struct LogFiles {
  std::set<int64_t> segments;   // base offsets of the .log files
  std::set<int64_t> snapshots;  // offsets of the .snapshot files
};

/// Removes `.deleted`, `.tmp` and `.cleaned` files and indexes without a log, finishes swaps: a
/// `.swap` segment is complete, so it takes the place of the segments it was compacted from. A swap
/// that is part of an unfinished split (a `.cleaned` file lies at or below it) is dropped instead.
Result<LogFiles> tidy_log_directory(const std::string& directory);
/// What is there, for a reader beside whoever writes: nothing on the disk changes. A listing may
/// miss a segment that was made while it ran and have the one after it; a second one that begins
/// after it has all segments up to the last of the first. EAGAIN: segments went meanwhile, or a
/// swap is under way, in which they have no name of their own.
Result<LogFiles> list_log_directory(const std::string& directory);

}  // namespace barnabas::storage
