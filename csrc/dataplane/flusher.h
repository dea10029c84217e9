// Group commit: partitions whose appends wait for an fdatasync queue here; threads of their log
// directory flush them, many partitions at once, and each flush covers every append that came
// before it began. Appends go on while one runs.
//
// Ownership: borrows nothing; keeps a partition alive while it is queued.
//
// Thread-safety: safe from every thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "base/log_limiter.h"
#include "dataplane/directory_pools.h"

namespace barnabas::dataplane {

class Partition;

class Flusher {
 public:
  Flusher();

  /// Sees to it that everything appended to `partition` before this call is flushed. Returns at
  /// once; the partition tells those who wait for its high watermark.
  void request(const std::shared_ptr<Partition>& partition);
  /// Finishes what was requested, then takes no more.
  void stop() { threads_.stop(); }
  /// fdatasync calls (one a partition) so far.
  [[nodiscard]] uint64_t flush_count() const { return flush_count_; }

 private:
  /// False after stop().
  bool submit(const std::shared_ptr<Partition>& partition);
  void run(const std::shared_ptr<Partition>& partition);
  void flush(Partition& partition);
  /// Whether somebody has requested a flush during this one.
  static bool is_wanted_again(Partition& partition);

  std::atomic<uint64_t> flush_count_{0};
  LogLimiter log_{"flusher"};  // a full disk fails as often as it is tried
  DirectoryPools threads_;
};

}  // namespace barnabas::dataplane
