// A load generator for a Kafka cluster: connections over threads, as a Plan says.
//
// Life: create, start, wait until it is over (or stop it), read what was counted at any time.
// Thread-safety: every method may be called from any thread, start() once.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "base/result.h"
#include "base/thread_annotations.h"
#include "loadgen/batch_source.h"
#include "loadgen/plan.h"
#include "loadgen/producer.h"
#include "loadgen/worker.h"

namespace barnabas::loadgen {

class LoadGenerator {
 public:
  /// Prepares the batches. kInvalidRequest when the plan cannot be carried out.
  static Result<std::unique_ptr<LoadGenerator>> create(Plan plan);
  /// Ends it at once.
  ~LoadGenerator();
  LoadGenerator(const LoadGenerator&) = delete;
  LoadGenerator& operator=(const LoadGenerator&) = delete;

  /// Opens all connections, each within `connect_timeout_ms`, and begins.
  Status start(int connect_timeout_ms);
  /// Whether the load is over, after at most `timeout_ms`; the error that ended it early.
  Result<bool> wait(int timeout_ms) EXCLUDES(mutex_);
  /// Nothing becomes due any more; the load is over once what is under way has been answered.
  void stop();

  /// What was counted so far; its latencies are empty.
  [[nodiscard]] Tally counters();
  /// The latencies since the last call.
  [[nodiscard]] Histogram take_latencies();
  [[nodiscard]] std::vector<WorkerUsage> usage();
  /// When the warm-up is over, on the monotonic clock. REQUIRES: start() was called
  [[nodiscard]] int64_t measure_ns() const { return run_.measure_ns; }
  /// Records of a full batch.
  [[nodiscard]] int32_t records_per_batch() const { return templates_->full_count(); }

 private:
  explicit LoadGenerator(Plan plan) : plan_(std::move(plan)) {}

  Status connect(int timeout_ms, std::vector<UniqueFd>& sockets);
  Status add_sessions(std::vector<UniqueFd> sockets);
  [[nodiscard]] std::vector<ProducerShare> shares() const;
  void run_worker(Worker& worker) EXCLUDES(mutex_);

  const Plan plan_;
  Run run_;
  std::unique_ptr<BatchTemplates> templates_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::vector<std::thread> threads_;

  Mutex mutex_;
  ConditionVariable ended_;
  size_t running_ GUARDED_BY(mutex_) = 0;
  std::optional<Error> error_ GUARDED_BY(mutex_);  // of the worker that failed first
};

}  // namespace barnabas::loadgen
