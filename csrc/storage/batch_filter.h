// What compaction leaves of one batch, by the rules of Kafka's Cleaner: of each key the last
// record, tombstones and transaction markers until their delete horizon (KIP-534), an empty batch
// where a producer's last sequence, or the end of what is cleaned, would be forgotten.
//
// Offsets never change, and neither does the last offset of a batch that stays. A batch that loses
// nothing is copied as it is.
//
// Belongs to one thread; borrows what it is made from.
#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "record/batch.h"
#include "record/record.h"
#include "storage/cleaned_transactions.h"
#include "storage/offset_map.h"

namespace barnabas::storage {

/// A producer's last batch in the log, by its id; offset -1 when only markers are known of it.
struct LastRecord {
  int64_t last_data_offset = -1;
  int16_t producer_epoch = record::kNoProducerEpoch;
};
using LastRecords = std::unordered_map<int64_t, LastRecord>;

/// What one pass over a log goes by.
struct FilterRules {
  const OffsetMap& map;
  int64_t map_end_offset = 0;  // the map knows all keys below it, and nothing from it on
  const LastRecords& last_records;
  int64_t now_ms = 0;  // wall clock
  int64_t delete_retention_ms = 0;
};

class BatchFilter {
 public:
  BatchFilter(const FilterRules& rules, CleanedTransactions& transactions)
      : rules_(rules), transactions_(transactions) {}

  struct Outcome {
    ByteView bytes;  // of the batch that stays, empty when none does; valid until the next call
    int32_t records_kept = 0;
  };

  /// kCorruptMessage when the records do not parse.
  Result<Outcome> filter(const record::BatchView& batch);

 private:
  [[nodiscard]] bool is_last_of_producer(const record::BatchView& batch) const;
  [[nodiscard]] bool is_needed(const record::BatchView& batch,
                               const record::RecordView& record) const;
  Result<Outcome> rewrite(const record::BatchView& batch, int64_t delete_horizon_ms);
  Outcome empty_batch(const record::BatchView& batch);

  const FilterRules& rules_;
  CleanedTransactions& transactions_;
  std::vector<uint8_t> expanded_;
  std::vector<record::RecordView> kept_;
  std::vector<uint8_t> built_;
};

}  // namespace barnabas::storage
