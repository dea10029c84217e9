#include "dataplane/append_threads.h"

#include <limits>
#include <utility>

#include "dataplane/partition.h"

namespace barnabas::dataplane {

AppendThreads::AppendThreads() : threads_("bnb-append", 1, std::numeric_limits<size_t>::max()) {}

bool AppendThreads::submit(const std::shared_ptr<Partition>& partition, DiskPool::Task append) {
  MutexLock lock(mutex_);
  Lane& lane = lanes_[partition.get()];
  if (lane.queued == 0) lane.thread = &threads_.of(partition->directory());
  const bool taken = lane.thread->submit([this, partition, append = std::move(append)] {
    append();
    finish(partition.get());
  });
  if (taken) ++lane.queued;
  return taken;
}

void AppendThreads::finish(const Partition* partition) {
  MutexLock lock(mutex_);
  const auto lane = lanes_.find(partition);
  if (--lane->second.queued == 0) lanes_.erase(lane);
}

}  // namespace barnabas::dataplane
