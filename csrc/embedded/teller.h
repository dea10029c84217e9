// A thread for the callbacks of a producer's batches: whoever finishes a batch (a caller, linger, a
// flush thread that clients on the network wait for, too) hands them over and goes on. There is one
// as long as there is something to tell, and a while longer.
//
// Ownership: a shared_ptr owns it, as does its thread, which nobody waits for. Thread-safety: every
// method may be called from any thread.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "base/thread_annotations.h"

namespace barnabas::embedded {

class Teller : public std::enable_shared_from_this<Teller> {
 public:
  using Callbacks = std::vector<std::function<void()>>;

  static std::shared_ptr<Teller> create() { return std::make_shared<Teller>(); }
  /// Whether this is the thread of a teller, in a callback.
  [[nodiscard]] static bool is_this_thread();

  /// Sets `done` and has them called, behind all that were handed over before. Who sees it set
  /// finds them in given(), and so does a callback.
  void tell(Callbacks callbacks, std::atomic<bool>& done) EXCLUDES(mutex_);
  /// How often something was handed over.
  [[nodiscard]] uint64_t given() EXCLUDES(mutex_);
  /// Whether the first `given` have been called after at most `timeout_ns`.
  bool wait(uint64_t given, int64_t timeout_ns) EXCLUDES(mutex_);

 private:
  static constexpr std::chrono::seconds kIdle{1};

  void run() EXCLUDES(mutex_);

  Mutex mutex_;
  ConditionVariable changed_;  // something to tell
  ConditionVariable told_one_;
  std::vector<Callbacks> waiting_ GUARDED_BY(mutex_);
  uint64_t given_ GUARDED_BY(mutex_) = 0;
  uint64_t told_ GUARDED_BY(mutex_) = 0;
  bool running_ GUARDED_BY(mutex_) = false;
};

}  // namespace barnabas::embedded
