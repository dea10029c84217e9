// Bugs built in on purpose, to show that the checker of tests/faults finds each of them.
//
// Only the objects of the second core module (CMake target core_planted) that tests build for
// themselves have any. Elsewhere strikes() is false where it stands, and what depends on it is
// dropped by the compiler.
#pragma once

#include <atomic>
#include <cstdint>

namespace barnabas {

enum class Bug : uint8_t {
  kUnwrittenAck,           // a batch is acknowledged and not written
  kDuplicatedBatch,        // a batch is written twice
  kUnwrittenCommit,        // a group's offset is acknowledged and not written
  kEarlyStable,            // the last stable offset is one too high
  kEarlyHighWatermark,     // the high watermark is beyond the end
  kAbortedOneShort,        // of the aborted transactions of a fetch the last is missing
  kTimestampOff,           // a look-up by time finds what comes after
  kLastValueDropped,       // compaction drops a key's last value
  kTombstoneDropped,       // compaction drops tombstones at once
  kSnapshotBehind,         // producer snapshots are one batch behind
  kRecoveryCutsOneMore,    // recovery cuts the last good batch, too
  kRetentionTakesOneMore,  // retention takes a segment too many
  kIndexOneShort           // an offset index lacks an entry
};

#ifdef BARNABAS_PLANTED_BUGS

inline constexpr bool kBugsArePlanted = true;

/// Whether it is the one that the environment names (BARNABAS_BUG=kUnwrittenAck).
bool is_planted(Bug bug);

/// Whether the bug is there and shows this time: one time in `every`.
template <Bug kBug>
bool strikes(uint32_t every = 1) {
  static const bool planted = is_planted(kBug);
  static std::atomic<uint32_t> calls = 0;
  return planted && ++calls % every == 0;
}

#else

inline constexpr bool kBugsArePlanted = false;

template <Bug kBug>
constexpr bool strikes(uint32_t /*every*/ = 1) {
  return false;
}

#endif

}  // namespace barnabas
