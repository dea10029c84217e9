// Threads of one kind that work until whoever owns them tells them to stop, and joins them then.
//
// Ownership: owns the threads; what they work on outlives join().
//
// Thread-safety: start() and join() belong to one thread; empty() to any in between.
#pragma once

#include <pthread.h>

#include <cstddef>
#include <thread>
#include <vector>

namespace barnabas::dataplane {

class WorkerThreads {
 public:
  /// work(i) for each i below `count`, on a thread of its own. REQUIRES: `name` has at most 15
  /// characters and outlives them
  template <class Work>
  void start(const char* name, size_t count, Work work) {
    for (size_t i = 0; i < count; ++i) {
      threads_.emplace_back([name, work, i] {
        pthread_setname_np(pthread_self(), name);
        work(i);
      });
    }
  }
  void join() {
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }
  [[nodiscard]] bool empty() const { return threads_.empty(); }

 private:
  std::vector<std::thread> threads_;
};

}  // namespace barnabas::dataplane
