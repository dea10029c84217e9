// What becomes of one batch that a producer in this process has begun: its records' futures share
// it.
//
// Thread-safety: every method may be called from any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "base/result.h"
#include "base/thread_annotations.h"
#include "dataplane/in_process_client.h"
#include "embedded/teller.h"

namespace barnabas::embedded {

class Outcome {
 public:
  explicit Outcome(std::shared_ptr<Teller> teller) : teller_(std::move(teller)) {}

  [[nodiscard]] bool done() const { return done_.load(std::memory_order_acquire); }
  /// Whether it is done after at most `timeout_ns`.
  bool wait(int64_t timeout_ns) EXCLUDES(mutex_);
  /// Has `callback` called once it is done: in this thread when it is so already, else by the
  /// teller.
  void when_done(std::function<void()> callback) EXCLUDES(mutex_);

  /// It is in the log, or was refused. Once; it is done then, or with set_durable().
  void set_produced(const Result<dataplane::Produced>& produced) EXCLUDES(mutex_);
  /// It is as durable as its topic wants it, or will never be. Before or after set_produced(),
  /// once.
  void set_durable(ErrorCode error) EXCLUDES(mutex_);

  // REQUIRES for these: done()
  [[nodiscard]] ErrorCode error() const { return error_; }
  [[nodiscard]] const std::string& message() const { return message_; }
  [[nodiscard]] int64_t base_offset() const { return place_.base_offset; }
  /// ms; -1 unless the topic has log append time.
  [[nodiscard]] int64_t log_append_time_ms() const { return place_.log_append_time_ms; }

 private:
  /// Half of what is waited for is there, or all of it.
  void settle(bool all) EXCLUDES(mutex_);

  const std::shared_ptr<Teller> teller_;
  std::atomic<bool> done_{false};
  // Written before done_ is set, and never after.
  ErrorCode error_ = ErrorCode::kNone;
  dataplane::Produced place_;
  std::string message_;

  Mutex mutex_;
  ConditionVariable changed_;
  int halves_ GUARDED_BY(mutex_) = 0;
  Teller::Callbacks callbacks_ GUARDED_BY(mutex_);
};

}  // namespace barnabas::embedded
