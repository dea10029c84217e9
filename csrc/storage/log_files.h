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
/// The same without the tidying: nothing on the disk changes.
Result<LogFiles> list_log_directory(const std::string& directory);

}  // namespace barnabas::storage
