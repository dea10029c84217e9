#include "dataplane/flusher.h"

#include <limits>
#include <utility>

#include "base/clock.h"
#include "base/logger.h"
#include "dataplane/partition.h"

namespace barnabas::dataplane {
namespace {

// Of each directory: concurrent fdatasyncs of different files share journal commits, so a few
// threads pay.
constexpr int kFlushThreads = 4;
// A partition is queued at most once: the queue is bounded by the partitions there are.
constexpr size_t kMaxQueued = std::numeric_limits<size_t>::max();

using State = Partition::FlushState;

}  // namespace

Flusher::Flusher() : threads_("bnb-flush", kFlushThreads, kMaxQueued) {}

void Flusher::request(const std::shared_ptr<Partition>& partition) {
  auto& state = partition->flush_state();
  State seen = state.load();
  for (;;) {
    State wanted = seen;
    if (seen == State::kIdle) wanted = State::kQueued;
    if (seen == State::kRunning) wanted = State::kRunningAndWantedAgain;
    if (wanted == seen) return;  // a flush that has not begun yet covers this request
    if (state.compare_exchange_weak(seen, wanted)) break;
  }
  // Refused only after stop(): the log is closed, and so flushed, next.
  if (seen == State::kIdle) (void)submit(partition);
}

bool Flusher::submit(const std::shared_ptr<Partition>& partition) {
  return threads_.submit(partition->directory(), [this, partition] { run(partition); });
}

void Flusher::run(const std::shared_ptr<Partition>& partition) {
  do {
    flush(*partition);
  } while (is_wanted_again(*partition) && !submit(partition));  // stop() waits for this thread
}

void Flusher::flush(Partition& partition) {
  partition.flush_state() = State::kRunning;
  flush_count_.fetch_add(1);
  if (const Status status = partition.flush(); !status.ok() && !partition.deleted()) {
    const char* outcome = partition.offline() ? "; the partition is offline"
                                              : "; tried again while somebody waits for it";
    log_.log(LogLevel::kError, status.error().message + outcome, system_clock().monotonic_ns());
  }
}

bool Flusher::is_wanted_again(Partition& partition) {
  State seen = State::kRunning;
  if (partition.flush_state().compare_exchange_strong(seen, State::kIdle)) return false;
  partition.flush_state() = State::kQueued;
  return true;
}

}  // namespace barnabas::dataplane
