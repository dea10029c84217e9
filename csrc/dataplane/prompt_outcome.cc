#include "dataplane/prompt_outcome.h"

namespace barnabas::dataplane {

void PromptOutcome::tell(ErrorCode error, int64_t base_offset) {
  {
    MutexLock lock(mutex_);
    if (!left_alone_) {
      kept_ = Kept{error, base_offset};
      return;
    }
  }
  on_durable_(error, base_offset);
}

void PromptOutcome::end_append() {
  MutexLock lock(mutex_);
  ended_ = true;
  if (!kept_.has_value()) left_alone_ = true;
  changed_.notify_one();
}

void PromptOutcome::wait(std::chrono::microseconds at_most) {
  const auto deadline = std::chrono::steady_clock::now() + at_most;
  std::optional<Kept> outcome;
  {
    MutexLock lock(mutex_);
    while (!ended_) {
      if (changed_.wait_until(mutex_, deadline) == std::cv_status::timeout) break;
    }
    left_alone_ = true;
    outcome = kept_;
  }
  if (outcome.has_value()) on_durable_(outcome->error, outcome->base_offset);
}

}  // namespace barnabas::dataplane
