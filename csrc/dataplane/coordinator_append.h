// What the coordinators append: records, in a transaction or not, and the ends of transactions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/kafka_error.h"
#include "record/batch.h"

namespace barnabas::dataplane {

/// A key and value to append; borrowed for the length of the call.
using KeyValueView = std::pair<std::optional<ByteView>, std::optional<ByteView>>;

/// In whose transaction an append is; an id of -1: in none.
struct TransactionalProducer {
  int64_t id = record::kNoProducerId;
  int16_t epoch = record::kNoProducerEpoch;
};

/// How a producer's transaction ends in a partition (WriteTxnMarkers, KIP-98).
struct TransactionEnd {
  TransactionalProducer producer;
  bool commit = false;
  int32_t coordinator_epoch = 0;
  /// From 2 on `producer.epoch` is above that of the transaction's records (KIP-1228).
  int16_t transaction_version = 0;
};

/// One batch of a coordinator's: records, perhaps of a producer's transaction, or the marker that
/// ends one. Borrowed for the length of the call.
struct CoordinatorAppend {
  std::string_view topic;
  int32_t partition = 0;
  std::vector<KeyValueView> records;
  TransactionalProducer producer;
  std::optional<TransactionEnd> marker;  // instead of records
};

/// Told the outcome of the append of that index which nobody has waited for.
using LateCallback = std::function<void(size_t index, ErrorCode error)>;

}  // namespace barnabas::dataplane
