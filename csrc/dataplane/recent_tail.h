// Which offsets of a log were appended so recently that their pages can be taken for resident
// without asking the kernel. Two marks, moved by bytes and by time: what lies above the older one
// was appended since the last mark but one.
//
// Thread-safety: safe from every thread. Two appends may move the marks at once; the tail is then
// shorter than it could be, never longer.
#pragma once

#include <atomic>
#include <cstdint>

namespace barnabas::dataplane {

class RecentTail {
 public:
  /// The marks move after this many bytes, and with every age().
  static constexpr uint64_t kMarkBytes = 32 << 20;

  /// What an earlier run appended is not recent.
  explicit RecentTail(int64_t log_end_offset) : older_(log_end_offset), newer_(log_end_offset) {}

  [[nodiscard]] bool contains(int64_t offset) const {
    return offset >= older_.load(std::memory_order_relaxed);
  }

  /// `appended_bytes`: of all appends so far.
  void note_append(int64_t log_end_offset, uint64_t appended_bytes) {
    if (appended_bytes - marked_bytes_.load(std::memory_order_relaxed) < kMarkBytes) return;
    marked_bytes_.store(appended_bytes, std::memory_order_relaxed);
    age(log_end_offset);
  }

  void age(int64_t log_end_offset) {
    older_.store(newer_.exchange(log_end_offset, std::memory_order_relaxed),
                 std::memory_order_relaxed);
  }

 private:
  std::atomic<int64_t> older_;
  std::atomic<int64_t> newer_;
  std::atomic<uint64_t> marked_bytes_{0};
};

}  // namespace barnabas::dataplane
