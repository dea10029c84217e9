// A Produce request that waits until the transaction coordinator has said whether its partitions
// belong to the producer's transaction.
//
//   ask -> the control queue -> the broker loop -> answer -> append what was verified
//    ^                                              |
//    +---- a little later: transactions v2, and the one before is still being ended
//
// Ownership: kept alive by the purgatory alone, so that it goes with its connection; the question
// on its way only knows it weakly. A client that just closes its end is not noticed before the
// answer, as nothing is read from the connection meanwhile: then the batches are appended, and what
// the client sends again is recognised by its sequence.
//
// Thread-safety: everything runs on the operation's reactor, but for the hand-over of an answer.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "dataplane/partition_table.h"
#include "dataplane/produce_job.h"
#include "dataplane/purgatory.h"
#include "dataplane/transaction_check.h"

namespace barnabas::dataplane {

class VerifiedProduce final : public DelayedOperation {
 public:
  /// `go_on` is called once, on the reactor, with what waited: what may not be appended is refused
  /// in its checks. Table, services and what `go_on` needs outlive the operation.
  using GoOn = std::function<void(const MovedProducePtr&)>;
  VerifiedProduce(const PartitionTable& table, const ProduceServices& services,
                  net::RequestToken token, TransactionQuestion question, GoOn go_on);

  /// kBusy or kReject as the control queue says it: nothing was asked.
  net::Admission ask();
  /// After ask(), in the same turn of the reactor.
  void wait(MovedProducePtr moved);

 private:
  void on_wake() override {}  // watches no partition
  void on_timeout() override { give_up(ErrorCode::kNetworkException); }
  void on_stop() override { give_up(ErrorCode::kNotLeaderOrFollower); }
  bool count_visible(uint64_t) override { return false; }
  [[nodiscard]] size_t memory_bytes() const override;

  void on_answer(std::optional<std::vector<uint8_t>> payload);
  /// Whether the question will be asked again, instead of taking CONCURRENT_TRANSACTIONS for an
  /// answer.
  bool ask_again(const std::vector<ErrorCode>& verdicts);
  void ask_anew();
  void give_up(ErrorCode error);
  void finish(const std::vector<ErrorCode>& verdicts);

  const PartitionTable& table_;
  const ProduceServices& services_;
  const GoOn go_on_;
  TransactionQuestion question_;
  const int64_t asked_ns_;  // monotonic, for the first time
  MovedProducePtr moved_;   // null once it went on
};

}  // namespace barnabas::dataplane
