#include "dataplane/produce_transaction.h"

#include <algorithm>

#include "record/batch.h"

namespace barnabas::dataplane {
namespace {

std::optional<record::BatchView> transactional_batch(const ProducePartition& named) {
  const auto batch = header_of(named);
  const bool counts = batch && batch->is_transactional() && batch->has_producer_id();
  return counts ? batch : std::nullopt;
}

void check_batch(const Topic& topic, const ProducePartition& named, const record::BatchView& batch,
                 TransactionQuestion& question, TransactionCheck& check, size_t number) {
  if (!topic.config.verify_transactions && !question.transactions_v2) return;
  storage::Log* const log = (*topic.find(named.index))->log();
  if (log == nullptr) return;  // the append says why
  const auto entrance =
      log->begin_verification(batch.producer_id(), batch.producer_epoch(), batch.base_sequence(),
                              question.transactions_v2, question.transactional_id);
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
  TransactionQuestion question;
  question.transactional_id = *produce.transactional_id;
  question.transactions_v2 = job.version >= kProduceFirstTransactionsV2Version;
  const bool one_producer = job.visit_undone(
      table, [&](const Topic* topic, const ProducePartition& named, size_t number) {
        const auto batch = transactional_batch(named);
        if (!batch || job.check_partition(topic, named.index) != ErrorCode::kNone) return true;
        if (job.checks.empty()) {
          job.checks.resize(produce.partitions.size());
          question.producer_id = batch->producer_id();
          question.producer_epoch = batch->producer_epoch();
        }
        if (question.producer_id != batch->producer_id() ||
            question.producer_epoch != batch->producer_epoch()) {
          return false;
        }
        check_batch(*topic, named, *batch, question, job.checks[number], number);
        return true;
      });
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
