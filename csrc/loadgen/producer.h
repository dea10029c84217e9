// A connection that produces, each request one batch for one partition: in a closed loop, where an
// answer makes room for the next request, or in an open one, where the Schedule says what is due.
//
// Partitions take turns; with keys they are drawn by the part of the records that their keys have.
// In the open loop records wait for `linger` or a full batch, and behind requests in flight; the
// latency of each is counted from when it was due.
//
// Thread-safety: belongs to its worker.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "loadgen/batch_source.h"
#include "loadgen/frames.h"
#include "loadgen/random.h"
#include "loadgen/schedule.h"
#include "loadgen/session.h"

namespace barnabas::loadgen {

/// This connection's part of the load.
struct ProducerShare {
  double rate = 0;    // records a second, 0: closed loop
  double phase = 0;   // of its schedule, in [0, 1)
  int64_t quota = 0;  // measured records after which it ends; kNever: none
  uint64_t seed = 0;
};

class Producer final : public Session {
 public:
  /// The templates outlive it.
  Producer(UniqueFd fd, Run& run, const ConnectionPlan& connection, const ProducerShare& share,
           const BatchTemplates& templates);

  Status pump(int64_t now_ns, Tally& tally) override;
  Result<size_t> on_bytes(ByteView bytes, int64_t now_ns, Tally& tally) override;
  void on_sent(int64_t now_ns, Tally& tally) override;
  [[nodiscard]] bool is_done() const override { return is_done_; }
  [[nodiscard]] int64_t waiting_since_ns() const override {
    return pending_.empty() ? kNever : pending_.front().sent_ns;
  }

 private:
  struct Target {
    ProduceFrame frame;
    int32_t partition;  // its number within the topic
    double sum;         // of the weights up to and with it
  };
  struct Pending {
    int32_t correlation_id;
    int32_t count;          // records
    int64_t first;          // open loop: the index of its first record
    int64_t sent_ns;        // when it was put into the outbox
    int64_t bytes;          // of the batch
    uint64_t end_position;  // in the outbox
  };

  Status pump_closed(int64_t now_ns);
  Status pump_open(int64_t now_ns, Tally& tally);
  Status send(int64_t first, int32_t count, int64_t now_ns);
  Target& choose();
  void complete(const Pending& request, int16_t error, int64_t now_ns, Tally& tally);
  void count_latencies(const Pending& request, int64_t now_ns, Tally& tally);
  /// The index that no record reaches any more.
  [[nodiscard]] int64_t end_index() const;
  void finish_if_drained();

  const Plan& plan_;
  const ProducerShare share_;
  const int32_t full_count_;
  std::optional<Schedule> schedule_;
  BatchSource batches_;
  std::vector<Target> targets_;
  size_t turn_;
  Random random_;
  std::deque<Pending> pending_;
  std::vector<int64_t> due_ns_;
  int64_t next_ = 0;    // open loop: index of the next record
  int64_t quota_left_;  // closed loop
  int32_t correlation_id_ = 0;
  bool has_ended_ = false;  // sends nothing more
  bool is_done_ = false;
};

}  // namespace barnabas::loadgen
