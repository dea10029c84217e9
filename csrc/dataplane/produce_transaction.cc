#include "dataplane/produce_transaction.h"

#include <algorithm>

#include "record/batch.h"

namespace barnabas::dataplane {
namespace {

std::optional<record::BatchView> transactional_batch(const ProducePartition& named) {
  const ByteView records = named.records.value_or(MutableBytes{});
  if (records.size() < record::kBatchHeaderSize) return std::nullopt;
  const record::BatchView batch(records);
  if (batch.magic() != record::kMagic || !batch.is_transactional() || !batch.has_producer_id()) {
    return std::nullopt;
  }
  return batch;
}

void check_batch(const Topic& topic, const ProducePartition& named, const record::BatchView& batch,
                 TransactionQuestion& question, TransactionCheck& check, size_t number) {
  if (!topic.config.verify_transactions && !question.transactions_v2) return;
  storage::Log* const log = (*topic.find(named.index))->log();
  if (log == nullptr) return;  // the append says why
  const auto entrance = log->begin_verification(batch.producer_id(), batch.producer_epoch(),
                                                batch.base_sequence(), question.transactions_v2);
  if (!entrance.ok()) {
    check.error = entrance.error().code;
    return;
  }
  check.guard = entrance->guard;
  if (entrance->verified || check.guard == storage::kNoGuard) return;
  question.partitions.push_back({topic.identity->name, named.index, number});
}

}  // namespace

std::optional<TransactionQuestion> check_transaction(const PartitionTable& table, ProduceJob& job) {
  const ProduceRequest& produce = job.request;
  const bool by_id = job.version >= kProduceFirstTopicIdVersion;
  TransactionQuestion question;
  question.transactional_id = *produce.transactional_id;
  question.transactions_v2 = job.version >= kProduceFirstTransactionsV2Version;
  bool one_producer = true;
  size_t next = 0;
  for (const auto& named : produce.topics) {
    const TopicPtr topic = by_id ? table.find(named.id) : table.find(named.name);
    for (const size_t end = next + named.partition_count; next < end; ++next) {
      const ProducePartition& partition = produce.partitions[next];
      const auto batch = transactional_batch(partition);
      if (!batch || job.check_partition(topic.get(), partition.index) != ErrorCode::kNone) {
        continue;
      }
      if (job.checks.empty()) {
        job.checks.resize(produce.partitions.size());
        question.producer_id = batch->producer_id();
        question.producer_epoch = batch->producer_epoch();
      }
      one_producer = one_producer && question.producer_id == batch->producer_id() &&
                     question.producer_epoch == batch->producer_epoch();
      if (!one_producer) break;
      check_batch(*topic, partition, *batch, question, job.checks[next], next);
    }
  }
  if (!one_producer) {
    for (TransactionCheck& check : job.checks) {
      check.error = ErrorCode::kInvalidProducerIdMapping;
      check.message = "Transactional records contained more than one producer ID";
    }
    return std::nullopt;
  }
  if (question.partitions.empty()) return std::nullopt;
  // A client may come back to a topic; the question names each once.
  std::stable_sort(question.partitions.begin(), question.partitions.end(),
                   [](const auto& a, const auto& b) { return a.topic < b.topic; });
  return question;
}

}  // namespace barnabas::dataplane
