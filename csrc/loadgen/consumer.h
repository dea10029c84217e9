// A connection that fetches: all of its partitions in one request, one request at a time.
//
// It ends at the partitions' end offsets, begins anew there (`repeat`), or follows their ends until
// the time is over. Of a stamped load it reads the records' due times and counts their latencies,
// and waits for all that was produced.
//
// Thread-safety: belongs to its worker.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "loadgen/fetch_reader.h"
#include "loadgen/frames.h"
#include "loadgen/session.h"

namespace barnabas::loadgen {

class Consumer final : public Session, private FetchSink {
 public:
  Consumer(UniqueFd fd, Run& run, const ConnectionPlan& connection);

  Status pump(int64_t now_ns, Tally& tally) override;
  Result<size_t> on_bytes(ByteView bytes, int64_t now_ns, Tally& tally) override;
  [[nodiscard]] size_t droppable() const override { return reader_.droppable(); }
  Status on_dropped(size_t count, int64_t now_ns, Tally& tally) override;
  [[nodiscard]] size_t receive_bytes() const override;
  [[nodiscard]] bool is_done() const override { return is_done_; }
  [[nodiscard]] int64_t waiting_since_ns() const override { return sent_ns_; }

 private:
  struct Position {
    int32_t index;  // in plan.partitions
    int64_t next_offset;
  };

  // FetchSink
  void on_error(int16_t error) override;
  Status on_partition(std::string_view topic, int32_t partition, int16_t error) override;
  Status on_batch(const record::BatchView& batch, bool is_corrupt) override;
  Status on_end(int32_t correlation_id) override;

  Status read_stamps(const record::BatchView& batch);
  [[nodiscard]] const PartitionPlan& plan_of(const Position& position) const {
    return plan_.partitions[static_cast<size_t>(position.index)];
  }
  [[nodiscard]] bool is_over(int64_t now_ns) const;
  void settle_ends();
  void rebuild_frame();

  const Plan& plan_;
  FetchReader reader_;
  std::vector<Position> positions_;
  std::optional<FetchFrame> frame_;
  size_t current_ = 0;       // position that the answer is at
  Counters answer_;          // of the answer that is read
  Counters measured_;        // what of it counts
  bool has_errors_ = false;  // the answer has
  int64_t sent_ns_ = kNever;
  int64_t now_ns_ = 0;      // of the call of on_bytes
  Tally* tally_ = nullptr;  // of the call of on_bytes
  int64_t retry_ns_ = 0;    // nothing is sent before: the broker answered with an error
  int32_t correlation_id_ = 0;
  bool is_done_ = false;
};

}  // namespace barnabas::loadgen
