// Appends of the coordinators: a thread for each log directory, so that a disk that stalls holds up
// neither the broker loop nor what is appended in other directories.
//
// Ownership: owns its threads; keeps a partition alive while appends of it are queued. How many are
// is limited by the requests that wait for them.
//
// Thread-safety: safe from every thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <unordered_map>
#include <vector>

#include "base/thread_annotations.h"
#include "dataplane/directory_pools.h"

namespace barnabas::dataplane {

class Partition;
class PromptOutcomes;

class AppendThreads {
 public:
  /// One batch.
  struct Append {
    std::shared_ptr<Partition> partition;
    std::vector<uint8_t> bytes;
    int16_t transaction_version = 0;
    size_t index = 0;  // of its outcome
  };
  /// Makes an append; its outcome is told then or later.
  using Run = std::function<void(Append&, const std::shared_ptr<PromptOutcomes>&)>;

  explicit AppendThreads(Run run);
  ~AppendThreads() { stop(); }

  /// Runs each behind what was submitted for the same partition before: those of one directory are
  /// a share of its thread, which `outcomes` waits for unless the thread has others before it.
  /// After stop() they are not run, but told to be refused.
  void submit(std::vector<Append> appends, const std::shared_ptr<PromptOutcomes>& outcomes)
      EXCLUDES(mutex_);
  /// Finishes what is queued, then takes no more.
  void stop() { threads_.stop(); }

 private:
  /// Of a partition with appends that are queued: in the order of its thread, also when it moves to
  /// another directory meanwhile.
  struct Lane {
    DiskPool* thread = nullptr;
    size_t queued = 0;
  };
  /// What one thread has to do of what was submitted together.
  struct Share {
    std::vector<Append> appends;
    std::shared_ptr<PromptOutcomes> outcomes;
    bool is_next = false;  // nothing was before it
  };

  void run_share(const DiskPool* thread, Share& share) EXCLUDES(mutex_);
  void finish(const DiskPool* thread, const Share& share) EXCLUDES(mutex_);

  const Run run_;
  DirectoryPools threads_;
  Mutex mutex_;
  std::unordered_map<const Partition*, Lane> lanes_ GUARDED_BY(mutex_);
  std::unordered_map<const DiskPool*, size_t> shares_ GUARDED_BY(mutex_);  // that are queued
};

}  // namespace barnabas::dataplane
