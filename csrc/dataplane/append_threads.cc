#include "dataplane/append_threads.h"

#include <limits>
#include <map>
#include <utility>

#include "dataplane/partition.h"
#include "dataplane/prompt_outcomes.h"

namespace barnabas::dataplane {

AppendThreads::AppendThreads(Run run)
    : run_(std::move(run)), threads_("bnb-append", 1, std::numeric_limits<size_t>::max()) {}

void AppendThreads::submit(std::vector<Append> appends,
                           const std::shared_ptr<PromptOutcomes>& outcomes) {
  std::vector<std::pair<DiskPool*, std::shared_ptr<Share>>> refused;
  {
    MutexLock lock(mutex_);
    std::map<DiskPool*, std::shared_ptr<Share>> shares;
    for (auto& append : appends) {
      Lane& lane = lanes_[append.partition.get()];
      if (lane.queued++ == 0) lane.thread = &threads_.of(append.partition->directory());
      auto& share = shares[lane.thread];
      if (share == nullptr) share = std::make_shared<Share>();
      share->appends.push_back(std::move(append));
    }
    for (const auto& entry : shares) {
      DiskPool* const thread = entry.first;
      const std::shared_ptr<Share> share = entry.second;
      share->outcomes = outcomes;
      share->is_next = shares_[thread]++ == 0;
      if (share->is_next) outcomes->begin_share();
      const bool taken = thread->submit([this, thread, share] { run_share(thread, *share); });
      if (!taken) refused.emplace_back(thread, share);
    }
  }
  for (const auto& [thread, share] : refused) {
    for (const auto& append : share->appends) {
      outcomes->tell(append.index, ErrorCode::kNotLeaderOrFollower);
    }
    finish(thread, *share);
  }
}

void AppendThreads::run_share(const DiskPool* thread, Share& share) {
  for (auto& append : share.appends) run_(append, share.outcomes);
  finish(thread, share);
}

void AppendThreads::finish(const DiskPool* thread, const Share& share) {
  {
    MutexLock lock(mutex_);
    for (const auto& append : share.appends) {
      const auto lane = lanes_.find(append.partition.get());
      if (--lane->second.queued == 0) lanes_.erase(lane);
    }
    --shares_[thread];
  }
  // The thread is free by now: what is submitted next is waited for, too.
  if (share.is_next) share.outcomes->end_share();
}

}  // namespace barnabas::dataplane
