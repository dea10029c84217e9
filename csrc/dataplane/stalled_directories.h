// Which log directories do not get on: threads wait in them, so that no other is sent after them.
//
// Thread-safety: every method may be called from any thread, once set_count() has returned.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>

namespace barnabas::dataplane {

class StalledDirectories {
 public:
  // REQUIRES: no other thread knows of it yet.
  void set_count(size_t count) {
    waiting_ = std::make_unique<std::atomic<int>[]>(count);
    count_ = count;
  }
  [[nodiscard]] bool any() const { return all_waiting_.load(std::memory_order_relaxed) != 0; }
  /// Of a number that no directory has: false.
  [[nodiscard]] bool contains(size_t directory) const {
    return directory < count_ && waiting_[directory].load() != 0;
  }
  void begin_wait(size_t directory) { add(directory, 1); }
  void end_wait(size_t directory) { add(directory, -1); }

 private:
  void add(size_t directory, int threads) {
    if (directory >= count_) return;
    waiting_[directory].fetch_add(threads);
    all_waiting_.fetch_add(threads);
  }

  std::atomic<int> all_waiting_{0};
  std::unique_ptr<std::atomic<int>[]> waiting_;  // threads, by directory
  size_t count_ = 0;
};

}  // namespace barnabas::dataplane
