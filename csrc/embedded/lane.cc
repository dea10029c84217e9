#include "embedded/lane.h"

#include <utility>

namespace barnabas::embedded {

Lane::Lane(dataplane::Engine& engine, const std::string& topic, int32_t partition,
           const record::BatchOptions& options, std::shared_ptr<Teller> teller)
    : engine_(engine),
      topic_(topic),
      partition_(partition),
      transactional_(options.transactional),
      teller_(std::move(teller)),
      draining_(options),
      open_(options),
      takes_(options.transactional ? Takes::kNothingYet : Takes::kRecords) {}

Lane::Place Lane::add(const OutgoingRecord& record, size_t limit_bytes) {
  const size_t size = encoded_size_limit(record);
  MutexLock lock(open_mutex_);
  if (takes_ != Takes::kRecords) [[unlikely]]
    return {takes_ == Takes::kNothingYet ? Added::kOutside : Added::kClosed, nullptr};
  const bool first = open_.record_count() == 0;
  if (!first && open_.size_bytes() + size > limit_bytes) return {};
  if (first) open_outcome_ = std::make_shared<Outcome>(teller_);
  open_.append(record.timestamp_ms, record.key, record.value, record.headers);
  Place place{first ? Added::kFirst : Added::kMore, open_outcome_, open_.record_count() - 1};
  if (open_.size_bytes() >= limit_bytes) place.added = Added::kFull;
  return place;
}

bool Lane::drain(const Outcome* only) {
  std::optional<Appended> appended;
  {
    MutexLock lock(order_);
    appended = drain_in_order(only);
  }
  if (appended) tell(*appended);
  return appended.has_value();
}

std::optional<Lane::Appended> Lane::append(record::BatchBuilder& builder) {
  std::optional<Appended> before;
  std::optional<Appended> appended;
  {
    MutexLock lock(order_);
    before = drain_in_order(nullptr);
    auto outcome = std::make_shared<Outcome>(teller_);
    Takes takes = Takes::kRecords;
    {
      MutexLock open_lock(open_mutex_);
      takes = takes_;
      forget_finished();
      if (takes == Takes::kRecords) unfinished_.push_back(outcome);
    }
    if (takes == Takes::kRecords) {
      appended = append_in_order(builder, std::move(outcome));
    } else if (takes == Takes::kNothingYet) {
      appended = {std::move(outcome),
                  Error{ErrorCode::kInvalidTxnState, "the transaction has ended meanwhile"}};
    }
  }
  if (before) tell(*before);
  if (appended) tell(*appended);
  return appended;
}

void Lane::close() {
  {
    MutexLock lock(open_mutex_);
    takes_ = Takes::kNothingAnyMore;
  }
  drain();
}

std::shared_ptr<Outcome> Lane::open_outcome() {
  MutexLock lock(open_mutex_);
  return open_outcome_;
}

void Lane::collect_unfinished(std::vector<std::shared_ptr<Outcome>>& out) {
  MutexLock lock(open_mutex_);
  forget_finished();
  for (const auto& outcome : unfinished_) {
    if (!outcome->done()) out.push_back(outcome);
  }
}

void Lane::join(const dataplane::TransactionalProducer& producer,
                storage::VerificationGuard guard) {
  MutexLock lock(order_);
  if (producer.id != producer_.id || producer.epoch != producer_.epoch) next_sequence_ = 0;
  producer_ = producer;
  guard_ = guard;
  MutexLock open_lock(open_mutex_);
  if (takes_ == Takes::kNothingYet) takes_ = Takes::kRecords;
  joined_.store(true, std::memory_order_release);
}

void Lane::shut(bool discards) {
  std::shared_ptr<Outcome> refused;
  {
    MutexLock lock(open_mutex_);
    joined_.store(false, std::memory_order_release);
    if (takes_ == Takes::kRecords) takes_ = Takes::kNothingYet;
    if (discards && open_.record_count() > 0) {
      open_.restart();
      refused = std::move(open_outcome_);
    }
  }
  if (refused != nullptr) {
    refused->set_produced(
        Error{ErrorCode::kInvalidTxnState, "the transaction was aborted before it was written"});
  }
}

std::optional<Error> Lane::transaction_error() {
  MutexLock lock(open_mutex_);
  forget_finished();
  return transaction_error_;
}

void Lane::leave() {
  MutexLock lock(open_mutex_);
  forget_finished();
  transaction_error_.reset();
}

int32_t Lane::next_sequence(const dataplane::TransactionalProducer& producer) {
  MutexLock lock(order_);
  const bool same = producer.id == producer_.id && producer.epoch == producer_.epoch;
  return same ? next_sequence_ : 0;
}

std::optional<Lane::Appended> Lane::drain_in_order(const Outcome* only) {
  std::shared_ptr<Outcome> outcome;
  {
    MutexLock lock(open_mutex_);
    if (open_.record_count() == 0) return std::nullopt;
    if (only != nullptr && only != open_outcome_.get()) return std::nullopt;
    std::swap(open_, draining_);
    outcome = std::move(open_outcome_);
    forget_finished();
    unfinished_.push_back(outcome);
  }
  return append_in_order(draining_, std::move(outcome));
}

Lane::Appended Lane::append_in_order(record::BatchBuilder& builder,
                                     std::shared_ptr<Outcome> outcome) {
  const int32_t count = builder.record_count();
  if (producer_.id >= 0) builder.set_producer(producer_.id, producer_.epoch, next_sequence_);
  auto sealed = builder.seal();
  if (!sealed.ok()) return {std::move(outcome), std::move(sealed).error()};
  auto produced =
      engine_.produce(topic_, partition_, *sealed, guard_,
                      [outcome](ErrorCode error, int64_t) { outcome->set_durable(error); });
  if (producer_.id >= 0 && produced.ok()) {
    guard_ = storage::kNoGuard;
    next_sequence_ = record::BatchView::increment_sequence(next_sequence_, count);
  }
  return {std::move(outcome), std::move(produced)};
}

void Lane::forget_finished() {
  while (!unfinished_.empty() && unfinished_.front()->done()) {
    const Outcome& outcome = *unfinished_.front();
    if (outcome.error() != ErrorCode::kNone && transactional_ && !transaction_error_) {
      transaction_error_ = Error{outcome.error(), outcome.message()};
    }
    unfinished_.pop_front();
  }
}

}  // namespace barnabas::embedded
