// Answers that wait (Kafka's purgatory): fetches for data, produces for the high watermark.
//
// Every DelayedOperation belongs to the reactor of its connection: its on_* methods run there and
// nowhere else. Whoever makes progress, on any thread, calls wake(); the operation then runs on its
// reactor at once: in the same turn when the progress was made there, through the reactor's
// mailbox otherwise. Nothing polls.
//
// Ownership: the purgatory shares the operations that are parked; a wake-up under way keeps one
// alive, too.
//
// Thread-safety: wake() and stop() from any thread; the rest on the operation's reactor.
//
// Limits: what one connection can park is limited by its requests in flight, and goes when the
// connection goes; beyond kMaxParkedPerReactor operations, or kMaxParkedBytes of them, one must
// answer at once with what there is.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "dataplane/partition_waiter.h"
#include "net/server.h"

namespace barnabas::dataplane {

class DelayedOperation;

class Purgatory {
 public:
  static constexpr size_t kMaxParkedPerReactor = 100'000;
  static constexpr size_t kMaxParkedBytes = 128 << 20;  // of all reactors

  Purgatory(net::Server& server, size_t reactor_count);

  /// Parks `operation` until unpark(); its on_timeout() runs at the deadline. Once parked it may be
  /// parked again without harm. False when a limit is reached, or its client is gone.
  [[nodiscard]] bool park(const std::shared_ptr<DelayedOperation>& operation,
                          int64_t deadline_monotonic_ns);
  void unpark(DelayedOperation& operation);
  void wake(std::shared_ptr<DelayedOperation> operation);
  /// Lets go of what the connection of `token` had parked. On its reactor.
  void drop_connection(const net::RequestToken& token);

  /// Around the handling of a request: between the two, wake-ups for the same reactor are kept, and
  /// the second runs them (after the request's own answer).
  void begin_request(uint32_t reactor);
  void end_request(uint32_t reactor);

  /// Answers everything that is parked; what comes later does not wait.
  void stop();
  [[nodiscard]] bool stopping() const { return stopping_; }
  [[nodiscard]] int64_t parked_count() const { return parked_count_; }
  [[nodiscard]] int64_t parked_bytes() const { return static_cast<int64_t>(parked_bytes_); }

 private:
  // Touched by its own reactor only.
  struct PerReactor {
    struct Parked {
      std::shared_ptr<DelayedOperation> operation;
      net::TimerId timer = 0;
      size_t memory_bytes = 0;
    };
    std::unordered_map<uint64_t, std::vector<Parked>> parked;  // by connection
    size_t parked_count = 0;
    std::vector<std::shared_ptr<DelayedOperation>> ready;
    bool in_request = false;
  };

  void forget(PerReactor& own, const PerReactor::Parked& parked);
  void stop_own(uint32_t reactor);

  net::Server& server_;
  std::vector<PerReactor> per_reactor_;  // by reactor; constant size
  std::atomic<bool> stopping_{false};
  std::atomic<int64_t> parked_count_{0};
  std::atomic<size_t> parked_bytes_{0};
};

class DelayedOperation : public PartitionWaiter {
 public:
  DelayedOperation(Purgatory& purgatory, net::RequestToken token)
      : purgatory_(purgatory), token_(token) {}

  void wake() final;
  [[nodiscard]] const net::RequestToken& token() const { return token_; }
  [[nodiscard]] uint32_t reactor() const { return token_.reactor; }

 protected:
  friend class Purgatory;
  virtual void on_wake() = 0;
  virtual void on_timeout() = 0;
  /// The broker stops: answer now.
  virtual void on_stop() = 0;
  /// About; does not change while it is parked.
  [[nodiscard]] virtual size_t memory_bytes() const = 0;

  Purgatory& purgatory_;
  const net::RequestToken token_;

 private:
  std::atomic<bool> wake_pending_{false};
  bool parked_ = false;  // of its reactor
};

}  // namespace barnabas::dataplane
