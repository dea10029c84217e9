// The process that something was made in. A child of fork() gets a copy of its memory, and none of
// its threads: there locks may be held for ever, and files are the parent's to write.
//
// Thread-safety: immutable. One load tells; no system call.
#pragma once

#include <atomic>
#include <cstdint>

namespace barnabas {

class ProcessMark {
 public:
  ProcessMark() : generation_(current_.load(std::memory_order_relaxed)) {}

  /// Whether this is that process.
  [[nodiscard]] bool is_here() const {
    return generation_ == current_.load(std::memory_order_relaxed);
  }

 private:
  /// How many forks lie between this process and the one that loaded this code.
  static std::atomic<uint64_t> current_;
  static const bool counts_;

  uint64_t generation_;
};

}  // namespace barnabas
