// What the coordinators append: records, in a transaction or not, and the ends of transactions.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>

#include "base/bytes.h"
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

}  // namespace barnabas::dataplane
