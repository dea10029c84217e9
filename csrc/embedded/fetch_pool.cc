#include "embedded/fetch_pool.h"

#include <utility>

namespace barnabas::embedded {

std::shared_ptr<FetchedColumns> FetchPool::take() {
  std::unique_ptr<FetchedColumns> fetched;
  {
    MutexLock lock(mutex_);
    if (!free_.empty()) {
      fetched = std::move(free_.back());
      free_.pop_back();
    }
  }
  if (fetched == nullptr) fetched = std::make_unique<FetchedColumns>();
  return {fetched.release(), [pool = shared_from_this()](FetchedColumns* used) {
            pool->give_back(std::unique_ptr<FetchedColumns>(used));
          }};
}

void FetchPool::give_back(std::unique_ptr<FetchedColumns> fetched) {
  fetched->columns.clear();
  fetched->fetched.aborted.clear();
  if (fetched->capacity_bytes() > kKeptBytes) return;
  MutexLock lock(mutex_);
  if (free_.size() < kKept) free_.push_back(std::move(fetched));
}

}  // namespace barnabas::embedded
