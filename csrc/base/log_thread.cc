#include "base/log_thread.h"

#include <pthread.h>
#include <unistd.h>

#include <chrono>
#include <utility>

namespace barnabas {

std::shared_ptr<LogThread> LogThread::create(LogSink sink) {
  return std::shared_ptr<LogThread>(new LogThread(std::move(sink)));
}

LogThread::LogThread(LogSink sink) : owner_(getpid()), sink_(std::move(sink)) {}

bool LogThread::forked() const { return getpid() != owner_; }

void LogThread::log(LogLevel level, std::string_view component, std::string_view message) {
  if (forked()) return sink_(level, component, message);  // the mutex may be held for ever
  {
    MutexLock lock(mutex_);
    if (!stopping_) {
      if (queue_.size() >= kMaxQueued) {
        ++dropped_;
        return;
      }
      queue_.push_back({level, std::string(component), std::string(message)});
      ++queued_count_;
      if (!thread_.joinable()) {
        thread_ = std::thread([self = shared_from_this()] { self->run(); });
      }
      work_.notify_one();
      return;
    }
  }
  barnabas::log(level, component, message);
}

void LogThread::run() {
  pthread_setname_np(pthread_self(), "bnb-log");
  MutexLock lock(mutex_);
  while (true) {
    while (queue_.empty() && !stopping_) work_.wait(mutex_);
    if (queue_.empty()) return;
    const auto lines = std::exchange(queue_, {});
    const uint64_t dropped = std::exchange(dropped_, 0);
    mutex_.unlock();
    for (const Line& line : lines) sink_(line.level, line.component, line.message);
    if (dropped > 0) {
      sink_(LogLevel::kWarning, "log",
            std::to_string(dropped) +
                " lines were dropped here: they came faster than they could "
                "be written");
    }
    mutex_.lock();
    delivered_count_ += lines.size();
    progress_.notify_all();
  }
}

bool LogThread::wait_until_delivered() {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(kMaxFlushMs);
  const uint64_t wanted = queued_count_;
  while (delivered_count_ < wanted) {
    const auto left = deadline - std::chrono::steady_clock::now();
    if (left <= left.zero()) return false;
    progress_.wait_for(mutex_, left);
  }
  return true;
}

void LogThread::flush() {
  if (forked()) return;
  MutexLock lock(mutex_);
  wait_until_delivered();
}

void LogThread::stop() {
  if (forked()) return;
  std::thread thread;
  bool delivered = false;
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    work_.notify_all();
    delivered = wait_until_delivered();
    thread = std::move(thread_);
  }
  if (!thread.joinable()) return;
  if (delivered) {
    thread.join();
  } else {
    thread.detach();  // it is stuck in the sink, and keeps what it needs
  }
}

}  // namespace barnabas
