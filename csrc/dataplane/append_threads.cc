#include "dataplane/append_threads.h"

#include <limits>
#include <utility>
#include <vector>

#include "dataplane/partition.h"

namespace barnabas::dataplane {

bool AppendThreads::submit(std::shared_ptr<Partition> partition, DiskPool::Task append) {
  MutexLock lock(mutex_);
  if (stopping_) return false;
  Lane& lane = lanes_[partition.get()];
  if (lane.queued++ == 0) lane.thread = &thread_of(partition->directory());
  return lane.thread->submit([this, partition = std::move(partition), append = std::move(append)] {
    append();
    finish(partition.get());
  });
}

DiskPool& AppendThreads::thread_of(size_t directory) {
  auto& thread = threads_[directory];
  if (thread == nullptr) {
    thread = std::make_unique<DiskPool>("bnb-append", 1, std::numeric_limits<size_t>::max());
  }
  return *thread;
}

void AppendThreads::finish(const Partition* partition) {
  MutexLock lock(mutex_);
  const auto lane = lanes_.find(partition);
  if (--lane->second.queued == 0) lanes_.erase(lane);
}

void AppendThreads::stop() {
  std::vector<DiskPool*> threads;
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    for (const auto& [directory, thread] : threads_) threads.push_back(thread.get());
  }
  for (DiskPool* const thread : threads) thread->stop();
}

}  // namespace barnabas::dataplane
