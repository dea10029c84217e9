// Whether what is under a log directory can still be trusted. Its logs share one.
//
// Thread-safety: every method may be called from any thread.
#pragma once

#include <atomic>

namespace barnabas::storage {

class DirectoryHealth {
 public:
  /// An fsync in the directory failed: nothing that was written and not synced is certain, in none
  /// of its logs, and no later fsync would tell.
  void fail() { failed_.store(true); }
  [[nodiscard]] bool failed() const { return failed_.load(std::memory_order_relaxed); }

 private:
  std::atomic<bool> failed_ = false;
};

}  // namespace barnabas::storage
