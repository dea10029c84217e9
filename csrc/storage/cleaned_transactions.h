// What compaction keeps in mind of transactions while it walks over a log: whose records were
// aborted, and which markers still have records that they speak of (KIP-98). As Kafka's
// CleanedTransactionMetadata.
//
// An entry of `.txnindex`, 34 bytes big-endian: version int16 (0), producer_id int64, first_offset
// int64, last_offset int64 (the marker's), last_stable_offset int64.
//
// Belongs to one thread.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "record/batch.h"

namespace barnabas::storage {

struct AbortedTransaction {
  int64_t producer_id = -1;
  int64_t first_offset = -1;
  int64_t last_offset = -1;
  int64_t last_stable_offset = -1;
};

/// The entries of a segment's transaction index; none when there is no such file.
Result<std::vector<AbortedTransaction>> read_transaction_index(const std::string& path);
/// A transaction index's content.
std::vector<uint8_t> encode_transaction_index(const std::vector<AbortedTransaction>& entries);

class CleanedTransactions {
 public:
  /// `aborted`: those of the log that may have records in what is walked over.
  explicit CleanedTransactions(const std::vector<AbortedTransaction>& aborted);

  /// To be told of every batch, in order. Whether nothing of it is needed any more: records of an
  /// aborted transaction, or a marker whose transaction has no records left. A marker's own records
  /// may have to stay all the same, until consumers have had time to see them.
  [[nodiscard]] bool is_dispensable(const record::BatchView& batch);
  /// The aborted transactions whose markers stay, since the last call: they go to the index of the
  /// segment that is being written.
  std::vector<AbortedTransaction> take_index_entries() { return std::exchange(kept_, {}); }

 private:
  struct Ongoing {
    AbortedTransaction transaction;
    bool has_batches = false;
  };

  void begin_up_to(int64_t offset);
  [[nodiscard]] bool is_dispensable_marker(const record::BatchView& batch);

  std::vector<AbortedTransaction> aborted_;  // by first offset, the first one last
  std::map<int64_t, Ongoing> ongoing_aborted_;
  std::set<int64_t> ongoing_committed_;
  std::vector<AbortedTransaction> kept_;
};

}  // namespace barnabas::storage
