// In-process appends whose caller wants to hear when they are below the high watermark.
//
// Ownership: the registry keeps a waiter until its callback ran; fail_all() runs the rest.
//
// Thread-safety: safe from every thread. Callbacks run without a lock held, each exactly once.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <unordered_set>

#include "base/kafka_error.h"
#include "base/thread_annotations.h"
#include "dataplane/durable_callback.h"
#include "dataplane/partition.h"

namespace barnabas::dataplane {

class DurableWaiters {
 public:
  /// Calls `callback(error, base_offset)` once `partition`'s high watermark reaches
  /// `required_offset`, or never will: at once, in this thread, when that is so already.
  void add(std::shared_ptr<Partition> partition, int64_t required_offset, int64_t base_offset,
           DurableCallback callback) EXCLUDES(mutex_);
  /// Nothing will move any more: every callback hears `error`, those that are still to come too.
  void fail_all(ErrorCode error) EXCLUDES(mutex_);

 private:
  class Waiter;
  void forget(const std::shared_ptr<Waiter>& waiter) EXCLUDES(mutex_);

  Mutex mutex_;
  std::unordered_set<std::shared_ptr<Waiter>> waiters_ GUARDED_BY(mutex_);
  std::optional<ErrorCode> ended_ GUARDED_BY(mutex_);
};

}  // namespace barnabas::dataplane
