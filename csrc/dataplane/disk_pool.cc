#include "dataplane/disk_pool.h"

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <utility>

namespace barnabas::dataplane {

DiskPool::DiskPool(std::string name, int max_threads, size_t max_queued)
    : name_(std::move(name)),
      max_threads_(static_cast<size_t>(std::max(1, max_threads))),
      max_queued_(max_queued) {}

DiskPool::~DiskPool() { stop(); }

bool DiskPool::submit(Task task) {
  MutexLock lock(mutex_);
  if (stopping_ || queue_.size() >= max_queued_) return false;
  queue_.push_back(std::move(task));
  ++submitted_;
  if (idle_ >= queue_.size() || threads_.size() >= max_threads_) {
    work_.notify_one();
  } else {
    threads_.emplace_back([this] { run(); });
  }
  return true;
}

void DiskPool::stop() {
  std::vector<std::thread> threads;
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    threads.swap(threads_);
    work_.notify_all();
  }
  for (auto& thread : threads) thread.join();
}

size_t DiskPool::queued() const {
  MutexLock lock(mutex_);
  return queue_.size();
}

uint64_t DiskPool::submitted() const {
  MutexLock lock(mutex_);
  return submitted_;
}

void DiskPool::run() {
  pthread_setname_np(pthread_self(), name_.c_str());
  for (;;) {
    Task task;
    {
      MutexLock lock(mutex_);
      ++idle_;
      while (queue_.empty() && !stopping_) work_.wait(mutex_);
      --idle_;
      if (queue_.empty()) return;
      task = std::move(queue_.front());
      queue_.pop_front();
    }
    task();
  }
}

void parallel_for(int threads, size_t count, const std::function<void(size_t)>& work) {
  std::atomic<size_t> next{0};
  const auto run = [&] {
    for (size_t i = next.fetch_add(1); i < count; i = next.fetch_add(1)) work(i);
  };
  const size_t helpers = std::min(static_cast<size_t>(std::max(1, threads)), count);
  std::vector<std::thread> running;
  for (size_t i = 1; i < helpers; ++i) running.emplace_back(run);
  run();
  for (auto& thread : running) thread.join();
}

}  // namespace barnabas::dataplane
