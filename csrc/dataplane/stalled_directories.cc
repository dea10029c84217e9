#include "dataplane/stalled_directories.h"

namespace barnabas::dataplane {

void StalledDirectories::set_count(size_t count) {
  MutexLock lock(mutex_);
  directories_.resize(count);
}

bool StalledDirectories::contains(size_t directory, int64_t now_ns) {
  MutexLock lock(mutex_);
  if (directory >= directories_.size() || !directories_[directory].stalls(now_ns)) return false;
  directories_[directory].told = true;
  return true;
}

void StalledDirectories::begin_wait(size_t directory, int64_t since_ns) {
  MutexLock lock(mutex_);
  if (directory >= directories_.size()) return;
  directories_[directory].waits.insert(since_ns);
  waits_.fetch_add(1);
}

bool StalledDirectories::end_wait(size_t directory, int64_t since_ns, int64_t now_ns) {
  MutexLock lock(mutex_);
  if (directory >= directories_.size()) return false;
  Directory& ended = directories_[directory];
  ended.waits.erase(ended.waits.find(since_ns));
  waits_.fetch_sub(1);
  if (!ended.told || ended.stalls(now_ns)) return false;
  ended.told = false;
  return true;
}

}  // namespace barnabas::dataplane
