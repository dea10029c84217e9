#include "dataplane/directory_pools.h"

#include <utility>

namespace barnabas::dataplane {

DirectoryPools::DirectoryPools(std::string name, int max_threads, size_t max_queued)
    : name_(std::move(name)), max_threads_(max_threads), max_queued_(max_queued) {}

DiskPool& DirectoryPools::of(size_t directory) {
  MutexLock lock(mutex_);
  auto& pool = pools_[directory];
  if (pool == nullptr) {
    pool = std::make_unique<DiskPool>(name_, max_threads_, max_queued_);
    if (stopped_) pool->stop();
  }
  return *pool;
}

void DirectoryPools::stop() {
  {
    MutexLock lock(mutex_);
    stopped_ = true;
  }
  for (DiskPool* const pool : all()) pool->stop();
}

size_t DirectoryPools::queued() const {
  size_t sum = 0;
  for (const DiskPool* const pool : all()) sum += pool->queued();
  return sum;
}

uint64_t DirectoryPools::submitted() const {
  uint64_t sum = 0;
  for (const DiskPool* const pool : all()) sum += pool->submitted();
  return sum;
}

std::vector<DiskPool*> DirectoryPools::all() const {
  std::vector<DiskPool*> pools;
  MutexLock lock(mutex_);
  for (const auto& [directory, pool] : pools_) pools.push_back(pool.get());
  return pools;
}

}  // namespace barnabas::dataplane
