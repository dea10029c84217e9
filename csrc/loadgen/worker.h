// One thread of a load generator: waits for its connections and for what is due, and counts.
//
// Thread-safety: run() belongs to the worker's thread; the rest may be called from any.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <queue>
#include <utility>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "base/thread_annotations.h"
#include "loadgen/session.h"
#include "loadgen/tally.h"

namespace barnabas::loadgen {

/// How busy a worker was since the warm-up.
struct WorkerUsage {
  int64_t cpu_ns = 0;
  int64_t wall_ns = 0;
};

class Worker {
 public:
  static Result<std::unique_ptr<Worker>> create(Run& run);

  /// Before run().
  Status add(std::unique_ptr<Session> session);

  /// Until every session is done, one fails, or abort() is called.
  Status run();
  /// run() returns soon, whatever its sessions still wait for.
  void abort() { aborted_.store(true, std::memory_order_relaxed); }

  /// Adds what was counted so far to `to`; the latencies stay.
  void add_counters_to(Tally& to);
  /// Moves the latencies since the last call into `to`.
  void take_latencies_into(Histogram& to);
  [[nodiscard]] WorkerUsage usage();

 private:
  struct Slot {
    std::unique_ptr<Session> session;
    std::vector<uint8_t> carry;  // received, but not a whole thing yet
    int64_t timer_ns = kNever;   // that is in timers_
    bool is_writing = false;     // waits for the socket to take more
    bool is_done = false;
  };
  using Timer = std::pair<int64_t, size_t>;  // when, which slot

  explicit Worker(Run& run) : run_(run) {}

  void wait();
  Status serve(size_t index, uint32_t events) REQUIRES(mutex_);
  Status receive(Slot& slot) REQUIRES(mutex_);
  /// One system call. Returns whether to go on at once.
  Result<bool> receive_once(Slot& slot) REQUIRES(mutex_);
  Status advance(size_t index) REQUIRES(mutex_);
  Status serve_timers() REQUIRES(mutex_);
  Status look_around() REQUIRES(mutex_);
  void measure_cpu() REQUIRES(mutex_);

  Run& run_;
  UniqueFd epoll_;
  std::atomic<bool> aborted_{false};

  // Of the worker's thread.
  std::vector<Slot> slots_;
  std::priority_queue<Timer, std::vector<Timer>, std::greater<>> timers_;
  std::vector<std::pair<size_t, uint32_t>> ready_;  // slot, epoll events
  std::vector<uint8_t> buffer_;
  size_t left_ = 0;             // sessions that are not done
  int64_t look_around_ns_ = 0;  // when next
  int64_t seen_stop_ns_ = kNever;

  Mutex mutex_;  // held while the worker is not waiting
  Tally tally_ GUARDED_BY(mutex_);
  std::optional<WorkerUsage> measure_begin_ GUARDED_BY(mutex_);  // absolute
  WorkerUsage last_ GUARDED_BY(mutex_);                          // absolute
};

}  // namespace barnabas::loadgen
