// What a consumer in this process sleeps on, in the partitions' lists of waiters.
//
// Ownership: the signal owns its watches; they are unlinked before it goes.
//
// Thread-safety: see ReadySignal.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/result.h"

namespace barnabas::dataplane {

class PartitionTable;

/// A partition that a consumer has read up to `offset`.
struct WatchedPartition {
  std::string topic;
  int32_t partition = 0;
  int64_t offset = 0;
};

/// Tells, through a file descriptor, that there is something to read again.
///
/// Thread-safety: notify() from any thread; the rest from one thread at a time.
class ReadySignal {
 public:
  virtual ~ReadySignal() = default;
  /// An eventfd, readable from notify(), or a watched partition's news, to clear(). Owned.
  [[nodiscard]] virtual int fd() const = 0;
  /// From now on what comes behind these offsets counts, what is there already too; so does the end
  /// of a partition. Takes the place of what was watched before.
  virtual void watch(std::span<const WatchedPartition> partitions) = 0;
  virtual void notify() = 0;
  virtual void clear() = 0;
};

/// The table outlives the signal. `read_committed`: the last stable offset counts.
Result<std::unique_ptr<ReadySignal>> make_ready_signal(const PartitionTable& table,
                                                       bool read_committed);

}  // namespace barnabas::dataplane
