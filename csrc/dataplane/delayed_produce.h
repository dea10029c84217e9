// The answer to a Produce request some of whose batches are not below the high watermark yet: the
// response as it will be if all goes well, and the places in it that become errors if not.
//
// Thread-safety: start() and what follows run on the operation's reactor.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/kafka_error.h"
#include "dataplane/partition.h"
#include "dataplane/purgatory.h"
#include "net/response.h"

namespace barnabas::dataplane {

class DelayedProduce final : public DelayedOperation {
 public:
  struct Pending {
    std::shared_ptr<Partition> partition;
    int64_t required_offset = 0;  // of the high watermark
    size_t error_position = 0;    // in the response
    bool done = false;
    Watch watch;
  };

  DelayedProduce(Purgatory& purgatory, net::Server& server, net::RequestToken token,
                 net::Bytes response, std::vector<Pending> pending);
  ~DelayedProduce() override;

  /// Answers now if nothing has to wait (any more), else waits until the deadline.
  void start(int64_t deadline_monotonic_ns);

 private:
  void on_wake() override;
  void on_timeout() override { give_up(ErrorCode::kRequestTimedOut); }
  void on_stop() override { give_up(ErrorCode::kNotLeaderOrFollower); }
  bool count_visible(uint64_t) override { return true; }
  [[nodiscard]] size_t memory_bytes() const override {
    return sizeof(DelayedProduce) + response_.capacity() + pending_.capacity() * sizeof(Pending);
  }

  /// Whether every partition is settled, one way or the other.
  bool settle();
  void give_up(ErrorCode error);
  void set_error(const Pending& pending, ErrorCode error);
  void answer();

  net::Server& server_;
  net::Bytes response_;
  std::vector<Pending> pending_;
  bool answered_ = false;
};

}  // namespace barnabas::dataplane
