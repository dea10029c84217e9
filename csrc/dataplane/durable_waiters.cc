#include "dataplane/durable_waiters.h"

#include <atomic>
#include <utility>

namespace barnabas::dataplane {

class DurableWaiters::Waiter final : public PartitionWaiter {
 public:
  Waiter(DurableWaiters& registry, std::shared_ptr<Partition> partition, int64_t required_offset,
         int64_t base_offset, DurableCallback callback)
      : registry_(registry),
        partition_(std::move(partition)),
        base_offset_(base_offset),
        callback_(std::move(callback)) {
    watch_.waiter = this;
    watch_.wake_offset = required_offset;
  }
  ~Waiter() override { partition_->remove_watch(watch_); }

  void start() {
    partition_->add_watch(watch_);
    wake();
  }

  void wake() override {
    if (partition_->high_watermark() >= watch_.wake_offset) {
      finish(ErrorCode::kNone);
    } else if (const ErrorCode error = partition_->availability(); error != ErrorCode::kNone) {
      finish(error);
    }
  }

  void finish(ErrorCode error) {
    if (finished_.exchange(true)) return;
    partition_->remove_watch(watch_);
    callback_(error, base_offset_);
    registry_.forget(std::static_pointer_cast<Waiter>(shared_from_this()));
  }

 private:
  bool count_visible(uint64_t) override { return true; }

  DurableWaiters& registry_;
  const std::shared_ptr<Partition> partition_;
  const int64_t base_offset_;
  const DurableCallback callback_;
  std::atomic<bool> finished_{false};
  Watch watch_;
};

void DurableWaiters::add(std::shared_ptr<Partition> partition, int64_t required_offset,
                         int64_t base_offset, DurableCallback callback) {
  if (partition->high_watermark() >= required_offset) {
    callback(ErrorCode::kNone, base_offset);
    return;
  }
  const auto waiter = std::make_shared<Waiter>(*this, std::move(partition), required_offset,
                                               base_offset, std::move(callback));
  std::optional<ErrorCode> ended;
  {
    MutexLock lock(mutex_);
    waiters_.insert(waiter);
    ended = ended_;
  }
  waiter->start();
  if (ended) waiter->finish(*ended);
}

void DurableWaiters::fail_all(ErrorCode error) {
  std::unordered_set<std::shared_ptr<Waiter>> waiters;
  {
    MutexLock lock(mutex_);
    waiters.swap(waiters_);
    ended_ = error;
  }
  for (const auto& waiter : waiters) waiter->finish(error);
}

void DurableWaiters::forget(const std::shared_ptr<Waiter>& waiter) {
  MutexLock lock(mutex_);
  waiters_.erase(waiter);
}

}  // namespace barnabas::dataplane
