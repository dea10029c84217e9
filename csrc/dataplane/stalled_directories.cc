#include "dataplane/stalled_directories.h"

#include <algorithm>
#include <utility>

#include "dataplane/partition.h"

namespace barnabas::dataplane {

bool StalledDirectories::holds_up(const Partition& partition, int64_t now_ns) {
  MutexLock lock(mutex_);
  for (const Wait& wait : waits_) {
    if (wait.since_ns > now_ns) continue;
    const bool by_disk =
        wait.partition->directory() == partition.directory() && wait.partition->is_writing();
    if (wait.partition != &partition && !by_disk) continue;
    told_ = true;
    return true;
  }
  return false;
}

void StalledDirectories::begin_wait(const Partition& partition, int64_t since_ns) {
  MutexLock lock(mutex_);
  waits_.push_back({&partition, since_ns});
  count_.fetch_add(1);
}

bool StalledDirectories::end_wait(const Partition& partition, int64_t since_ns) {
  MutexLock lock(mutex_);
  waits_.erase(std::find(waits_.begin(), waits_.end(), Wait{&partition, since_ns}));
  count_.fetch_sub(1);
  return std::exchange(told_, false);
}

}  // namespace barnabas::dataplane
