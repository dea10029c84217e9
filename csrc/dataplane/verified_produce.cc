#include "dataplane/verified_produce.h"

#include <algorithm>
#include <utility>

#include "dataplane/produce_transaction.h"

namespace barnabas::dataplane {
namespace {

// How long Kafka waits for its coordinator (request.timeout.ms).
constexpr int64_t kTimeoutNs = 30'000'000'000;
// Kafka's add.partitions.to.txn.retry.backoff.ms and .max.ms: to let a producer send the request
// again costs more than to ask again.
constexpr int64_t kRetryBackoffNs = 20'000'000;
constexpr int64_t kMaxRetryNs = 100'000'000;

}  // namespace

VerifiedProduce::VerifiedProduce(const PartitionTable& table, const ProduceServices& services,
                                 net::RequestToken token, TransactionQuestion question, GoOn go_on)
    : DelayedOperation(services.purgatory, token),
      table_(table),
      services_(services),
      go_on_(std::move(go_on)),
      question_(std::move(question)),
      asked_ns_(services.clock.monotonic_ns()) {}

net::Admission VerifiedProduce::ask() {
  ControlRequest request;
  request.api_key = kAddPartitionsToTxnKey;
  request.api_version = kAddPartitionsToTxnVersion;
  request.body = encode_question(question_);
  net::Server& server = services_.server;
  return services_.control_queue.offer_own(
      std::move(request), [&server, reactor = reactor(), weak = weak_from_this()](auto payload) {
        server.post(reactor, [weak, payload = std::move(payload)]() mutable {
          const auto waiting = std::static_pointer_cast<VerifiedProduce>(weak.lock());
          if (waiting != nullptr) waiting->on_answer(std::move(payload));
        });
      });
}

void VerifiedProduce::wait(MovedProducePtr moved) {
  moved_ = std::move(moved);
  const auto self = std::static_pointer_cast<VerifiedProduce>(shared_from_this());
  if (purgatory_.park(self, asked_ns_ + kTimeoutNs)) return;
  give_up(purgatory_.stopping() ? ErrorCode::kNotLeaderOrFollower : ErrorCode::kNetworkException);
}

size_t VerifiedProduce::memory_bytes() const {
  return sizeof(*this) + moved_->memory_bytes() +
         question_.partitions.capacity() * sizeof(AskedPartition);
}

void VerifiedProduce::on_answer(std::optional<std::vector<uint8_t>> payload) {
  if (moved_ == nullptr) return;
  const auto verdicts = decode_verdicts(question_, std::move(payload));
  if (!ask_again(verdicts)) finish(verdicts);
}

bool VerifiedProduce::ask_again(const std::vector<ErrorCode>& verdicts) {
  const int64_t now_ns = services_.clock.monotonic_ns();
  const bool concurrent = std::find(verdicts.begin(), verdicts.end(),
                                    ErrorCode::kConcurrentTransactions) != verdicts.end();
  if (!question_.transactions_v2 || !concurrent || now_ns - asked_ns_ >= kMaxRetryNs) return false;
  services_.server.add_timer(reactor(), now_ns + kRetryBackoffNs, [weak = weak_from_this()] {
    const auto waiting = std::static_pointer_cast<VerifiedProduce>(weak.lock());
    if (waiting != nullptr && waiting->moved_ != nullptr) waiting->ask_anew();
  });
  return true;
}

/// With new guards: the marker that ended the transaction before has taken the old ones away.
void VerifiedProduce::ask_anew() {
  moved_->job.checks.clear();
  auto question = check_transaction(table_, moved_->job);
  if (!question.has_value()) return finish({});
  question_ = *std::move(question);
  if (ask() != net::Admission::kTakenAlone) give_up(ErrorCode::kConcurrentTransactions);
}

void VerifiedProduce::give_up(ErrorCode error) {
  finish(std::vector<ErrorCode>(question_.partitions.size(), error));
}

void VerifiedProduce::finish(const std::vector<ErrorCode>& verdicts) {
  if (moved_ == nullptr) return;
  const auto keep = shared_from_this();
  const auto moved = std::exchange(moved_, nullptr);
  purgatory_.unpark(*this);
  for (size_t i = 0; i < verdicts.size(); ++i) {
    if (verdicts[i] == ErrorCode::kNone) continue;
    refuse(moved->job.checks[question_.partitions[i].check], verdicts[i], moved->job.version);
  }
  go_on_(moved);
}

}  // namespace barnabas::dataplane
