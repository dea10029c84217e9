// `.txnindex`: the aborted transactions whose markers lie in the segment, in Kafka's layout. A
// segment without any has no such file.
//
// Entry, 34 bytes (big-endian): version int16 (0), producer_id int64, first_offset int64,
// last_offset int64 (the marker's), last_stable_offset int64 (as it was right after the marker).
// Offsets of markers are strictly increasing; last stable offsets do not decrease.
//
// Written when the marker is, unlike the other indexes: a fetch with read_committed is wrong
// without it. What could not be written stays in memory and is tried again.
//
// Nothing in the log says at once whether an entry is right, so `.txnindex.crc` does
// (checksum_file.h), from when the segment is left or the log closed. Of a segment that is still
// written to it may tell the first entries only: an unclean stop makes them all anew.
//
// Pure state, but for the functions that read a file; the owner (Segment, under Log's mutex) locks.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "storage/checksum_file.h"
#include "storage/index_file.h"

namespace barnabas::storage {

inline constexpr size_t kAbortedEntryBytes = 34;

struct AbortedTransaction {
  int64_t producer_id = -1;
  int64_t first_offset = -1;
  int64_t last_offset = -1;
  int64_t last_stable_offset = -1;

  bool operator==(const AbortedTransaction&) const = default;
};

class TransactionIndex {
 public:
  void append(const AbortedTransaction& aborted);
  /// The entries in memory from the first on that ends at or above `offset`.
  [[nodiscard]] std::vector<AbortedTransaction> tail_from(int64_t offset) const;
  /// How many entries are in the file alone, when some of them may end at or above `offset`; else
  /// 0.
  [[nodiscard]] uint32_t file_entries_for(int64_t offset) const;
  /// nullopt when the bytes are no entry of a version that we know.
  static std::optional<AbortedTransaction> decode(const uint8_t* entry);

  IndexEntries entries{kAbortedEntryBytes};
  int64_t last_abort_offset = -1;  // the last entry's marker; -1 without one
  Checksum checksum;               // of all entries
  bool vouched = false;            // `.txnindex.crc` has that one
};

/// What is in a file, and what is said of it.
struct StoredTransactions {
  std::vector<AbortedTransaction> entries;
  Checksum checksum;
  bool vouched = false;       // by its checksum file, to the end
  bool contradicted = false;  // by its checksum file
};
/// nullopt when the file cannot be one of a segment [base_offset, next_offset). An absent one has
/// no entries.
Result<std::optional<StoredTransactions>> read_transaction_index(const std::string& path,
                                                                 int64_t base_offset,
                                                                 int64_t next_offset);

/// What a file must have, as it is known in memory.
struct WrittenTransactions {
  uint32_t count = 0;            // entries
  std::vector<uint8_t> pending;  // those that are not in it yet
  Checksum checksum;             // of both

  explicit WrittenTransactions(const TransactionIndex& index);
};
/// Of the file's first `count` entries, those from the first on that ends at or above `offset`, up
/// to the first whose last stable offset is at or above `upper_bound`. kKafkaStorageError when the
/// file has not what was written: all of it is read, as one wrong bit makes records of an aborted
/// transaction look committed.
Result<std::vector<AbortedTransaction>> find_aborted(int fd, const std::string& path,
                                                     const WrittenTransactions& written,
                                                     uint32_t count, int64_t offset,
                                                     int64_t upper_bound);

}  // namespace barnabas::storage
