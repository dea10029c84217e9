// Binary search in an index file with preads.
#pragma once

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <string>

#include "base/fd.h"
#include "storage/index_file.h"

namespace barnabas::storage {

/// The bytes of one index entry; an offset index uses the first eight.
using IndexEntry = std::array<uint8_t, kTimeEntryBytes>;

/// The last of the first `count` entries of a file for which `before_target` holds, given that it
/// holds for a prefix of them; nullopt when for none. `guess` is about where it may be: a good one
/// makes it one read, a bad one costs one more than the binary search takes.
template <class Predicate>
Result<std::optional<IndexEntry>> last_entry_where(int fd, const std::string& path,
                                                   size_t entry_bytes, uint32_t count,
                                                   uint32_t guess, Predicate before_target) {
  // At this many entries one read of them all is cheaper than more probes.
  constexpr uint32_t kBlockEntries = 128;
  std::array<uint8_t, kBlockEntries * kTimeEntryBytes> block;
  const auto read_entries = [&](uint32_t first, uint32_t entries) -> Status {
    const MutableBytes out(block.data(), entries * entry_bytes);
    BARNABAS_ASSIGN(const size_t got, read_at(fd, out, uint64_t{first} * entry_bytes, path));
    if (got == out.size()) return {};
    return Error{ErrorCode::kCorruptMessage, path + ": shorter than it was", 0};
  };
  const auto holds = [&](uint32_t n) { return before_target(block.data() + n * entry_bytes); };
  uint32_t low = 0;  // the answer, if any, is in [low, high)
  uint32_t high = count;
  if (count > kBlockEntries) {
    const uint32_t start =
        std::min(guess - std::min(guess, kBlockEntries / 2), count - kBlockEntries);
    BARNABAS_TRY(read_entries(start, kBlockEntries));
    if (!holds(0)) {
      high = start;
    } else if (holds(kBlockEntries - 1)) {
      low = start + kBlockEntries - 1;
    } else {
      low = start;
      high = start + kBlockEntries;
    }
  }
  while (high - low > kBlockEntries) {
    const uint32_t middle = low + (high - low) / 2;
    BARNABAS_TRY(read_entries(middle, 1));
    (holds(0) ? low : high) = middle;
  }
  BARNABAS_TRY(read_entries(low, high - low));
  uint32_t matching = 0;
  while (matching < high - low && holds(matching)) ++matching;
  if (matching == 0) return std::optional<IndexEntry>();
  IndexEntry entry{};
  std::memcpy(entry.data(), block.data() + (matching - 1) * entry_bytes, entry_bytes);
  return std::optional(entry);
}

/// Number of the first of the first `count` entries of a file for which `from_target` holds, given
/// that it holds for all that follow one; `count` when for none. One read a probe.
template <size_t kEntryBytes, class Predicate>
Result<uint32_t> first_entry_where(int fd, const std::string& path, uint32_t count,
                                   Predicate from_target) {
  std::array<uint8_t, kEntryBytes> entry;
  uint32_t low = 0;
  uint32_t high = count;
  while (low < high) {
    const uint32_t middle = low + (high - low) / 2;
    BARNABAS_ASSIGN(const size_t got, read_at(fd, entry, uint64_t{middle} * kEntryBytes, path));
    if (got != kEntryBytes) {
      return Error{ErrorCode::kKafkaStorageError, path + ": shorter than it was", 0};
    }
    if (from_target(entry.data())) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return low;
}

}  // namespace barnabas::storage
