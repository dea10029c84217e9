// Which log directories do not get on: threads are stuck in appends to them, so that no other is
// sent after them.
//
// A thread that waits for an append holds up its partition. The directory is held up only while an
// append of such a partition is at the disk: one that waits for a lock, which healthy work may hold
// for long (a compaction's swap, a move), says nothing of the others.
//
// Ownership: borrows the partitions, which live as long as appends to them.
//
// Thread-safety: every method may be called from any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "base/thread_annotations.h"
#include "net/relay.h"

namespace barnabas::dataplane {

class Partition;

class StalledDirectories {
 public:
  /// How long a wait is none yet.
  static constexpr int64_t kPatienceNs = net::Relay::kPatienceNs;

  /// Whether there may be a stall: quick.
  [[nodiscard]] bool any() const { return count_.load(std::memory_order_relaxed) != 0; }
  /// Whether an append to the partition would be stuck, too.
  [[nodiscard]] bool holds_up(const Partition& partition, int64_t now_ns) EXCLUDES(mutex_);

  /// A thread begins to wait for an append to the partition, which counts as stuck from `since_ns`
  /// (monotonic) on.
  void begin_wait(const Partition& partition, int64_t since_ns) EXCLUDES(mutex_);
  /// Whether somebody was told of a stall: what was put off is to be tried again. With what
  /// begin_wait() was given.
  [[nodiscard]] bool end_wait(const Partition& partition, int64_t since_ns) EXCLUDES(mutex_);

 private:
  struct Wait {
    const Partition* partition;
    int64_t since_ns;
    bool operator==(const Wait&) const = default;
  };

  std::atomic<int> count_{0};  // of waits_
  Mutex mutex_;
  std::vector<Wait> waits_ GUARDED_BY(mutex_);
  bool told_ GUARDED_BY(mutex_) = false;  // that somebody is held up
};

}  // namespace barnabas::dataplane
