// What a worker does with one connection: a Producer or a Consumer. The worker owns it, moves its
// bytes and wakes it up; the session decides what to send and what answers mean.
//
// Thread-safety: belongs to its worker. Run is shared by all of them.
#pragma once

#include <atomic>
#include <cstdint>
#include <limits>
#include <utility>

#include "base/bytes.h"
#include "base/fd.h"
#include "base/result.h"
#include "loadgen/outbox.h"
#include "loadgen/plan.h"
#include "loadgen/tally.h"

namespace barnabas::loadgen {

inline constexpr int64_t kNever = std::numeric_limits<int64_t>::max();
inline constexpr int64_t kDrainNs = 10 * kNsPerSecond;  // after the end, for what is still due

/// What all sessions of a load share. Times are monotonic.
struct Run {
  // Constant once the workers run.
  const Plan* plan = nullptr;
  uint64_t id = 0;         // in stamped values
  int64_t start_ns = 0;    // nothing is sent before
  int64_t measure_ns = 0;  // the warm-up is over

  std::atomic<int64_t> stop_ns{kNever};  // nothing becomes due after
  std::atomic<int64_t> producers_left{0};
  std::atomic<int64_t> stamped_produced{0};  // records acknowledged
  std::atomic<int64_t> stamped_fetched{0};
  std::atomic<int64_t> fetched_records{0};  // measured
};

class Session {
 public:
  Session(UniqueFd fd, Run& run) : run_(run), fd_(std::move(fd)) {}
  virtual ~Session() = default;

  /// Puts into the outbox what is to be sent now, and says when to be called again.
  virtual Status pump(int64_t now_ns, Tally& tally) = 0;
  /// Takes received bytes; returns how many, the rest comes again with more behind it.
  virtual Result<size_t> on_bytes(ByteView bytes, int64_t now_ns, Tally& tally) = 0;
  /// How many of the bytes to come are of no interest: they may be dropped unseen.
  [[nodiscard]] virtual size_t droppable() const { return 0; }
  /// So many of them have been.
  virtual Status on_dropped(size_t /*count*/, int64_t /*now_ns*/, Tally& /*tally*/) { return {}; }
  /// How much to receive at most, so that what may be dropped is not copied before that is known.
  [[nodiscard]] virtual size_t receive_bytes() const { return std::numeric_limits<size_t>::max(); }
  /// Bytes of the outbox have gone out.
  virtual void on_sent(int64_t /*now_ns*/, Tally& /*tally*/) {}
  /// There is nothing left to send or to wait for.
  [[nodiscard]] virtual bool is_done() const = 0;
  /// Since when an answer is overdue that a broker must give at once; kNever when none is.
  [[nodiscard]] virtual int64_t waiting_since_ns() const = 0;

  [[nodiscard]] int64_t wake_ns() const { return wake_ns_; }
  [[nodiscard]] int fd() const { return fd_.get(); }
  [[nodiscard]] Outbox& outbox() { return outbox_; }

 protected:
  [[nodiscard]] int64_t stop_ns() const { return run_.stop_ns.load(std::memory_order_relaxed); }

  Run& run_;
  Outbox outbox_;
  int64_t wake_ns_ = kNever;

 private:
  UniqueFd fd_;
};

}  // namespace barnabas::loadgen
