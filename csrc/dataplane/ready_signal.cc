#include "dataplane/ready_signal.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <deque>
#include <utility>

#include "base/fd.h"
#include "dataplane/partition_table.h"

namespace barnabas::dataplane {
namespace {

/// What hangs in the partitions' lists: a wake-up that is under way keeps it alive.
class Waiter final : public PartitionWaiter {
 public:
  Waiter(UniqueFd fd, bool read_committed) : fd_(std::move(fd)), read_committed_(read_committed) {}
  ~Waiter() override { unlink(); }

  [[nodiscard]] int fd() const { return fd_.get(); }

  void wake() override {
    const uint64_t one = 1;
    (void)!::write(fd_.get(), &one, sizeof one);  // fails only when it is readable anyway
  }

  void clear() {
    uint64_t count = 0;
    (void)!::read(fd_.get(), &count, sizeof count);  // EAGAIN: it was clear
  }

  void watch(const PartitionTable& table, std::span<const WatchedPartition> partitions) {
    unlink();
    for (const WatchedPartition& watched : partitions) {
      auto partition = table.find(watched.topic, watched.partition);
      if (partition == nullptr || partition->availability() != ErrorCode::kNone) {
        wake();  // the fetch says what is wrong
        continue;
      }
      Linked& linked = linked_.emplace_back(std::move(partition));
      linked.watch.waiter = this;
      linked.watch.wake_offset = watched.offset + 1;
      linked.watch.for_stable = read_committed_;
      linked.watch.counted_unstable = read_committed_;  // no count is kept: every news wakes
      linked.partition->add_watch(linked.watch);
      // Looked at after the watch hangs: what came before would wake nobody.
      const int64_t end = read_committed_ ? linked.partition->last_stable_offset()
                                          : linked.partition->high_watermark();
      if (end > watched.offset || linked.partition->log_start_offset() > watched.offset) wake();
    }
  }

  void unlink() {
    for (Linked& linked : linked_) linked.partition->remove_watch(linked.watch);
    linked_.clear();
  }

 private:
  struct Linked {
    explicit Linked(std::shared_ptr<Partition> watched) : partition(std::move(watched)) {}
    const std::shared_ptr<Partition> partition;
    Watch watch;
  };

  bool count_visible(uint64_t) override { return true; }

  const UniqueFd fd_;
  const bool read_committed_;
  std::deque<Linked> linked_;  // a Watch stays where it is while it is linked
};

class PartitionReadySignal final : public ReadySignal {
 public:
  PartitionReadySignal(const PartitionTable& table, UniqueFd fd, bool read_committed)
      : table_(table), waiter_(std::make_shared<Waiter>(std::move(fd), read_committed)) {}
  ~PartitionReadySignal() override { waiter_->unlink(); }

  [[nodiscard]] int fd() const override { return waiter_->fd(); }
  void watch(std::span<const WatchedPartition> partitions) override {
    waiter_->watch(table_, partitions);
  }
  void notify() override { waiter_->wake(); }
  void clear() override { waiter_->clear(); }

 private:
  const PartitionTable& table_;
  const std::shared_ptr<Waiter> waiter_;
};

}  // namespace

Result<std::unique_ptr<ReadySignal>> make_ready_signal(const PartitionTable& table,
                                                       bool read_committed) {
  UniqueFd fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!fd.valid()) return system_error("eventfd", ErrorCode::kUnknownServerError);
  return std::unique_ptr<ReadySignal>(
      std::make_unique<PartitionReadySignal>(table, std::move(fd), read_committed));
}

}  // namespace barnabas::dataplane
