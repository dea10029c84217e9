#include "dataplane/transaction_check.h"

#include <algorithm>

#include "dataplane/request_reader.h"
#include "dataplane/response_writer.h"

namespace barnabas::dataplane {
namespace {

constexpr int16_t kFirstAbortableErrorVersion = 11;
// The least a transaction, a topic or a partition can take in the answer.
constexpr size_t kMinTransactionBytes = 3;
constexpr size_t kMinCheckedTopicBytes = 3;
constexpr size_t kMinCheckedPartitionBytes = 7;

/// The name of an error that says nothing of the transaction, only that nobody could be asked.
const char* name_of_unverified(ErrorCode error, int16_t produce_version) {
  switch (error) {
    case ErrorCode::kConcurrentTransactions:
      // Common right after a commit with transactions v2, whose clients know what it means.
      if (produce_version >= kProduceFirstTransactionsV2Version) return nullptr;
      return "CONCURRENT_TRANSACTIONS";
    case ErrorCode::kNetworkException:
      return "NETWORK_EXCEPTION";
    case ErrorCode::kCoordinatorLoadInProgress:
      return "COORDINATOR_LOAD_IN_PROGRESS";
    case ErrorCode::kCoordinatorNotAvailable:
      return "COORDINATOR_NOT_AVAILABLE";
    case ErrorCode::kNotCoordinator:
      return "NOT_COORDINATOR";
    default:
      return nullptr;
  }
}

size_t count_of_topic(const std::vector<AskedPartition>& partitions, size_t begin) {
  size_t end = begin;
  while (end < partitions.size() && partitions[end].topic == partitions[begin].topic) ++end;
  return end - begin;
}

void read_topic(RequestReader& reader, const std::vector<AskedPartition>& asked,
                std::vector<ErrorCode>& verdicts) {
  const std::string_view topic = reader.read_string();
  for (size_t left = reader.read_array_length(kMinCheckedPartitionBytes); left > 0; --left) {
    const auto index = reader.read<int32_t>();
    const auto error = static_cast<ErrorCode>(reader.read<int16_t>());
    reader.skip_tags();
    const auto found = std::find_if(asked.begin(), asked.end(), [&](const auto& partition) {
      return partition.partition == index && partition.topic == topic;
    });
    if (found != asked.end()) verdicts[static_cast<size_t>(found - asked.begin())] = error;
  }
  reader.skip_tags();
}

}  // namespace

std::vector<uint8_t> encode_question(const TransactionQuestion& question) {
  const auto& partitions = question.partitions;
  std::vector<size_t> topics;  // where each begins
  for (size_t i = 0; i < partitions.size(); i += count_of_topic(partitions, i)) topics.push_back(i);
  ResponseWriter writer(true, 64 + question.transactional_id.size() + 32 * partitions.size());
  writer.write_empty_tags();  // of the header
  writer.write_array_length(1);
  writer.write_string(question.transactional_id);
  writer.write(question.producer_id);
  writer.write(question.producer_epoch);
  writer.write(static_cast<int8_t>(question.transactions_v2 ? 0 : 1));  // verify only
  writer.write_array_length(topics.size());
  for (const size_t begin : topics) {
    const size_t count = count_of_topic(partitions, begin);
    writer.write_string(partitions[begin].topic);
    writer.write_array_length(count);
    for (size_t i = begin; i < begin + count; ++i) writer.write(partitions[i].partition);
    writer.write_empty_tags();
  }
  writer.write_empty_tags();
  writer.write_empty_tags();
  return writer.take();
}

std::vector<ErrorCode> decode_verdicts(const TransactionQuestion& question,
                                       std::optional<std::vector<uint8_t>> payload) {
  const auto all = [&](ErrorCode error) {
    return std::vector<ErrorCode>(question.partitions.size(), error);
  };
  if (!payload) return all(ErrorCode::kNetworkException);
  RequestReader reader(*payload, true);
  reader.read<int32_t>();  // correlation id
  reader.skip_tags();
  reader.read<int32_t>();  // throttle time
  const auto error = static_cast<ErrorCode>(reader.read<int16_t>());
  if (reader.ok() && error != ErrorCode::kNone) {
    return all(error == ErrorCode::kClusterAuthorizationFailed ? ErrorCode::kInvalidTxnState
                                                               : error);
  }
  // A partition that the answer leaves out was not verified.
  auto verdicts = all(ErrorCode::kInvalidTxnState);
  for (size_t left = reader.read_array_length(kMinTransactionBytes); left > 0; --left) {
    reader.read_string();  // the one transactional id
    for (size_t topics = reader.read_array_length(kMinCheckedTopicBytes); topics > 0; --topics) {
      read_topic(reader, question.partitions, verdicts);
    }
    reader.skip_tags();
  }
  reader.skip_tags();
  return reader.ok() ? verdicts : all(ErrorCode::kUnknownServerError);
}

void refuse(TransactionCheck& check, ErrorCode error, int16_t produce_version) {
  check.error = error;
  check.message.reset();
  if (error == ErrorCode::kProducerFenced) {
    check.error = ErrorCode::kInvalidProducerEpoch;
  } else if (error == ErrorCode::kInvalidTxnState ||
             (error == ErrorCode::kTransactionAbortable &&
              produce_version < kFirstAbortableErrorVersion)) {
    check.error = ErrorCode::kInvalidTxnState;
    check.message = "Partition was not added to the transaction";
  } else if (const char* name = name_of_unverified(error, produce_version)) {
    // Older clients do not retry these as they should; this one they do, without new metadata.
    check.error = ErrorCode::kNotEnoughReplicas;
    check.message = std::string(
                        "Unable to verify the partition has been added to the transaction. "
                        "Underlying error: ") +
                    name;
  }
}

}  // namespace barnabas::dataplane
