// Something that waits for a partition: a parked fetch, a produce whose answer waits for the high
// watermark, a callback. It hangs itself into the partitions' lists with Watch nodes of its own.
//
// Ownership: a Watch is a member of its waiter and is linked while it waits; the waiter removes it
// (Partition::remove_watch) before it dies. The partition never owns waiters: it turns a linked
// watch into a shared_ptr for the length of a wake-up.
//
// Thread-safety: wake() and count_visible() may be called from any thread.
#pragma once

#include <cstdint>
#include <memory>

namespace barnabas::dataplane {

class PartitionWaiter : public std::enable_shared_from_this<PartitionWaiter> {
 public:
  virtual ~PartitionWaiter() = default;
  /// What was waited for has happened, or never will (partition deleted or offline): look again.
  /// No lock is held. May be called more than once.
  virtual void wake() = 0;
  /// `bytes` more have come below the high watermark; whether that is worth a wake(). Called with
  /// the partition's list locked: no more than a counter.
  virtual bool count_visible(uint64_t bytes) = 0;
};

struct Watch {
  PartitionWaiter* waiter = nullptr;
  int64_t wake_offset = 0;       // the high watermark that is waited for
  uint64_t counted_visible = 0;  // visible bytes that count_visible() has been told of
  /// The last stable offset is waited for instead (read_committed).
  bool for_stable = false;
  /// for_stable: some of counted_visible lay above the last stable offset. How many bytes a
  /// transaction's end makes stable is not known: wake() comes without a count then.
  bool counted_unstable = false;
  // Guarded by the partition's list lock.
  Watch* previous = nullptr;
  Watch* next = nullptr;
  bool linked = false;
};

}  // namespace barnabas::dataplane
