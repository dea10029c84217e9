// The outcome of an append by another thread, told on the thread that asked for it if it comes
// while that one waits: a hand-over to the broker loop costs more than a short wait, as it takes
// the GIL on both sides.
//
// Thread-safety: safe from every thread; each function is called once.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <utility>

#include "base/kafka_error.h"
#include "base/thread_annotations.h"
#include "dataplane/engine.h"

namespace barnabas::dataplane {

class PromptOutcome {
 public:
  explicit PromptOutcome(DurableCallback on_durable) : on_durable_(std::move(on_durable)) {}

  /// Keeps the outcome while somebody may wait for it, or tells it here and now.
  void tell(ErrorCode error, int64_t base_offset) EXCLUDES(mutex_);
  /// The append has ended, and its thread is free: wait() returns. Without an outcome yet, as
  /// before an fsync, tell() will be left to tell it.
  void end_append() EXCLUDES(mutex_);
  /// Waits for end_append(), and tells the outcome here if there is one.
  void wait(std::chrono::microseconds at_most) EXCLUDES(mutex_);

 private:
  struct Kept {
    ErrorCode error;
    int64_t base_offset;
  };

  const DurableCallback on_durable_;
  Mutex mutex_;
  ConditionVariable changed_;
  bool ended_ GUARDED_BY(mutex_) = false;
  bool left_alone_ GUARDED_BY(mutex_) = false;  // nobody waits: tell() tells
  std::optional<Kept> kept_ GUARDED_BY(mutex_);
};

}  // namespace barnabas::dataplane
