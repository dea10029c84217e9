// What compaction keeps in mind of transactions while it walks over a log: whose records were
// aborted, and which markers still have records that they speak of (KIP-98). As Kafka's
// CleanedTransactionMetadata.
//
// Belongs to one thread.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "record/batch.h"
#include "storage/transaction_index.h"

namespace barnabas::storage {

class CleanedTransactions {
 public:
  /// `aborted`: those of the log that may have records in what is walked over.
  explicit CleanedTransactions(const std::vector<AbortedTransaction>& aborted);

  /// To be told of every batch, in order. Whether nothing of it is needed any more: records of an
  /// aborted transaction, or a marker whose transaction has no records left. A marker's own records
  /// may have to stay all the same, until consumers have had time to see them.
  [[nodiscard]] bool is_dispensable(const record::BatchView& batch);
  /// The next batch is the first at or above `offset`, and there is none below any more. What ended
  /// there must not pass for going on: its producer's next records are those of another
  /// transaction.
  void skip_to(int64_t offset);
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
