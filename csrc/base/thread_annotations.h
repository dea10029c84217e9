// Clang thread-safety annotations (no-ops elsewhere) and the annotated mutexes that every lock in
// this code base uses. `make lint` compiles with -Wthread-safety -Werror.
#pragma once

#include <condition_variable>
#include <mutex>
#include <shared_mutex>

#if defined(__clang__)
#define BARNABAS_ANNOTATE(x) __attribute__((x))
#else
#define BARNABAS_ANNOTATE(x)
#endif

#define CAPABILITY(x) BARNABAS_ANNOTATE(capability(x))
#define SCOPED_CAPABILITY BARNABAS_ANNOTATE(scoped_lockable)
#define GUARDED_BY(x) BARNABAS_ANNOTATE(guarded_by(x))
#define PT_GUARDED_BY(x) BARNABAS_ANNOTATE(pt_guarded_by(x))
#define REQUIRES(...) BARNABAS_ANNOTATE(requires_capability(__VA_ARGS__))
#define REQUIRES_SHARED(...) BARNABAS_ANNOTATE(requires_shared_capability(__VA_ARGS__))
#define ACQUIRE(...) BARNABAS_ANNOTATE(acquire_capability(__VA_ARGS__))
#define ACQUIRE_SHARED(...) BARNABAS_ANNOTATE(acquire_shared_capability(__VA_ARGS__))
#define RELEASE(...) BARNABAS_ANNOTATE(release_capability(__VA_ARGS__))
#define RELEASE_SHARED(...) BARNABAS_ANNOTATE(release_shared_capability(__VA_ARGS__))
#define RELEASE_GENERIC(...) BARNABAS_ANNOTATE(release_generic_capability(__VA_ARGS__))
#define EXCLUDES(...) BARNABAS_ANNOTATE(locks_excluded(__VA_ARGS__))
#define ACQUIRED_AFTER(...) BARNABAS_ANNOTATE(acquired_after(__VA_ARGS__))
#define NO_THREAD_SAFETY_ANALYSIS BARNABAS_ANNOTATE(no_thread_safety_analysis)

namespace barnabas {

class CAPABILITY("mutex") Mutex {
 public:
  void lock() ACQUIRE() { mutex_.lock(); }
  void unlock() RELEASE() { mutex_.unlock(); }

 private:
  std::mutex mutex_;
};

class SCOPED_CAPABILITY MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) ACQUIRE(mutex) : mutex_(mutex) { mutex_.lock(); }
  ~MutexLock() RELEASE() { mutex_.unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mutex_;
};

class CAPABILITY("shared mutex") SharedMutex {
 public:
  void lock() ACQUIRE() { mutex_.lock(); }
  void unlock() RELEASE() { mutex_.unlock(); }
  void lock_shared() ACQUIRE_SHARED() { mutex_.lock_shared(); }
  void unlock_shared() RELEASE_SHARED() { mutex_.unlock_shared(); }

 private:
  std::shared_mutex mutex_;
};

class SCOPED_CAPABILITY WriterLock {
 public:
  explicit WriterLock(SharedMutex& mutex) ACQUIRE(mutex) : mutex_(mutex) { mutex_.lock(); }
  ~WriterLock() RELEASE() { mutex_.unlock(); }
  WriterLock(const WriterLock&) = delete;
  WriterLock& operator=(const WriterLock&) = delete;

 private:
  SharedMutex& mutex_;
};

class SCOPED_CAPABILITY ReaderLock {
 public:
  explicit ReaderLock(SharedMutex& mutex) ACQUIRE_SHARED(mutex) : mutex_(mutex) {
    mutex_.lock_shared();
  }
  ~ReaderLock() RELEASE_GENERIC() { mutex_.unlock_shared(); }
  ReaderLock(const ReaderLock&) = delete;
  ReaderLock& operator=(const ReaderLock&) = delete;

 private:
  SharedMutex& mutex_;
};

/// A condition variable that waits on an annotated Mutex.
class ConditionVariable {
 public:
  void wait(Mutex& mutex) REQUIRES(mutex) { condition_.wait(mutex); }
  template <class Duration>
  std::cv_status wait_for(Mutex& mutex, Duration duration) REQUIRES(mutex) {
    return condition_.wait_for(mutex, duration);
  }
  template <class TimePoint>
  std::cv_status wait_until(Mutex& mutex, TimePoint deadline) REQUIRES(mutex) {
    return condition_.wait_until(mutex, deadline);
  }
  void notify_one() { condition_.notify_one(); }
  void notify_all() { condition_.notify_all(); }

 private:
  std::condition_variable_any condition_;
};

}  // namespace barnabas
