// The deadlines of one reactor: a binary heap over slots that are reused, so that a timer costs no
// allocation beyond what its task needs. Adding and cancelling are O(log n).
//
// Thread-safety: belongs to one reactor's thread. A task may add and cancel timers, itself
// included.
#pragma once

#include <cstdint>
#include <vector>

#include "net/server.h"

namespace barnabas::net {

class TimerQueue {
 public:
  TimerId add(int64_t deadline_ns, Task task);
  /// Of a timer that ran or never was: nothing happens.
  void cancel(TimerId id);
  /// Runs what was due at `now_ns` when the call began, each once, in the order of deadlines.
  void run_due(int64_t now_ns);
  /// Milliseconds to wait from `now_ns` for the first deadline, rounded up; -1 without timers.
  [[nodiscard]] int timeout_ms(int64_t now_ns) const;
  [[nodiscard]] size_t size() const { return heap_.size(); }

 private:
  // Invariant: heap_[slots_[e.slot].heap_index] is e, for every entry e of the heap.
  struct Entry {
    int64_t deadline_ns;
    uint64_t sequence;  // equal deadlines run in the order they were added
    uint32_t slot;
    [[nodiscard]] bool before(const Entry& other) const {
      return deadline_ns != other.deadline_ns ? deadline_ns < other.deadline_ns
                                              : sequence < other.sequence;
    }
  };
  struct Slot {
    Task task;
    uint32_t generation = 1;  // in the TimerId: a reused slot has another
    uint32_t heap_index = 0;
    bool used = false;
  };

  Task remove(size_t heap_index);
  void place(size_t heap_index, const Entry& entry);
  void sift_up(size_t heap_index);
  void sift_down(size_t heap_index);

  std::vector<Entry> heap_;
  std::vector<Slot> slots_;
  std::vector<uint32_t> free_slots_;
  uint64_t next_sequence_ = 0;
};

}  // namespace barnabas::net
