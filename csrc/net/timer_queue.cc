#include "net/timer_queue.h"

#include <algorithm>
#include <utility>

#include "base/clock.h"

namespace barnabas::net {

namespace {

constexpr int64_t kLongestWaitMs = 3'600'000;

}  // namespace

TimerId TimerQueue::add(int64_t deadline_ns, Task task) {
  if (free_slots_.empty()) {
    free_slots_.push_back(static_cast<uint32_t>(slots_.size()));
    slots_.emplace_back();
  }
  const uint32_t index = free_slots_.back();
  free_slots_.pop_back();
  Slot& slot = slots_[index];
  slot.task = std::move(task);
  slot.used = true;
  heap_.emplace_back();
  place(heap_.size() - 1, {deadline_ns, next_sequence_++, index});
  sift_up(heap_.size() - 1);
  return static_cast<TimerId>(slot.generation) << 32 | index;
}

void TimerQueue::cancel(TimerId id) {
  const auto index = static_cast<uint32_t>(id);
  if (index >= slots_.size()) return;
  const Slot& slot = slots_[index];
  if (!slot.used || slot.generation != id >> 32) return;
  // The task dies here, outside the queue's own bookkeeping: what it holds may come back to us.
  const Task task = remove(slot.heap_index);
}

void TimerQueue::run_due(int64_t now_ns) {
  // A task that adds a timer that is due already waits for the next round, or none would end.
  const uint64_t end = next_sequence_;
  while (!heap_.empty() && heap_[0].deadline_ns <= now_ns && heap_[0].sequence < end) {
    const Task task = remove(0);
    task();
  }
}

int TimerQueue::timeout_ms(int64_t now_ns) const {
  if (heap_.empty()) return -1;
  const int64_t wait_ns = std::max<int64_t>(0, heap_[0].deadline_ns - now_ns);
  return static_cast<int>(
      std::min(wait_ns / kNsPerMs + (wait_ns % kNsPerMs != 0 ? 1 : 0), kLongestWaitMs));
}

Task TimerQueue::remove(size_t heap_index) {
  const uint32_t index = heap_[heap_index].slot;
  const Entry last = heap_.back();
  heap_.pop_back();
  if (heap_index < heap_.size()) {
    place(heap_index, last);
    sift_up(heap_index);
    sift_down(slots_[last.slot].heap_index);
  }
  Slot& slot = slots_[index];
  slot.used = false;
  ++slot.generation;
  free_slots_.push_back(index);
  return std::exchange(slot.task, nullptr);
}

void TimerQueue::place(size_t heap_index, const Entry& entry) {
  heap_[heap_index] = entry;
  slots_[entry.slot].heap_index = static_cast<uint32_t>(heap_index);
}

void TimerQueue::sift_up(size_t heap_index) {
  const Entry entry = heap_[heap_index];
  while (heap_index > 0) {
    const size_t parent = (heap_index - 1) / 2;
    if (!entry.before(heap_[parent])) break;
    place(heap_index, heap_[parent]);
    heap_index = parent;
  }
  place(heap_index, entry);
}

void TimerQueue::sift_down(size_t heap_index) {
  const Entry entry = heap_[heap_index];
  while (true) {
    size_t child = 2 * heap_index + 1;
    if (child >= heap_.size()) break;
    if (child + 1 < heap_.size() && heap_[child + 1].before(heap_[child])) ++child;
    if (!heap_[child].before(entry)) break;
    place(heap_index, heap_[child]);
    heap_index = child;
  }
  place(heap_index, entry);
}

}  // namespace barnabas::net
