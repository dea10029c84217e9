#include "dataplane/append_threads.h"

#include <limits>
#include <utility>

#include "dataplane/partition.h"

namespace barnabas::dataplane {

AppendThreads::AppendThreads() : threads_("bnb-append", 1, std::numeric_limits<size_t>::max()) {}

AppendThreads::Place AppendThreads::submit(const std::shared_ptr<Partition>& partition,
                                           DiskPool::Task append, DiskPool::Task ended) {
  MutexLock lock(mutex_);
  Lane& lane = lanes_[partition.get()];
  if (lane.queued == 0) lane.thread = &threads_.of(partition->directory());
  DiskPool* const thread = lane.thread;
  const bool taken = thread->submit(
      [this, partition, thread, append = std::move(append), ended = std::move(ended)] {
        append();
        finish(partition.get(), thread);
        ended();
      });
  if (!taken) return Place::kNone;
  ++lane.queued;
  return queued_[thread]++ == 0 ? Place::kNext : Place::kBehind;
}

void AppendThreads::finish(const Partition* partition, const DiskPool* thread) {
  MutexLock lock(mutex_);
  const auto lane = lanes_.find(partition);
  if (--lane->second.queued == 0) lanes_.erase(lane);
  --queued_[thread];
}

}  // namespace barnabas::dataplane
