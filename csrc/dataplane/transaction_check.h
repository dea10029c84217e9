// Whether the partitions of a Produce request belong to the producer's transaction: what the broker
// asks its own transaction coordinator (AddPartitionsToTxn version 5, KIP-890), and what the answer
// means for each of them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/kafka_error.h"
#include "storage/verifications.h"

namespace barnabas::dataplane {

inline constexpr int16_t kAddPartitionsToTxnKey = 24;
inline constexpr int16_t kAddPartitionsToTxnVersion = 5;
/// From here on Produce adds its partitions to the transaction by itself (transactions v2).
inline constexpr int16_t kProduceFirstTransactionsV2Version = 12;

/// One partition with a transactional batch.
struct TransactionCheck {
  ErrorCode error = ErrorCode::kNone;
  std::optional<std::string> message;
  storage::VerificationGuard guard = storage::kNoGuard;
};

/// A partition to ask for; `check`: its place in the request.
struct AskedPartition {
  std::string topic;
  int32_t partition = 0;
  size_t check = 0;
};

struct TransactionQuestion {
  std::string transactional_id;
  int64_t producer_id = -1;
  int16_t producer_epoch = -1;
  bool transactions_v2 = false;            // the partitions are added, not only looked for
  std::vector<AskedPartition> partitions;  // those of one topic follow each other
};

/// The request as a control request's body: header tagged fields, then the message.
std::vector<uint8_t> encode_question(const TransactionQuestion& question);

/// Each partition's error as the coordinator answered it, in the order of question.partitions.
/// `payload`: response header and body; nullopt when there was no answer (kNetworkException).
std::vector<ErrorCode> decode_verdicts(const TransactionQuestion& question,
                                       std::optional<std::vector<uint8_t>> payload);

/// What a producer that speaks `produce_version` is told instead of the coordinator's error.
void refuse(TransactionCheck& check, ErrorCode error, int16_t produce_version);

}  // namespace barnabas::dataplane
