#include "dataplane/prompt_outcomes.h"

#include <algorithm>
#include <utility>

namespace barnabas::dataplane {

void PromptOutcomes::begin_share() {
  MutexLock lock(mutex_);
  ++shares_;
}

void PromptOutcomes::end_share() {
  MutexLock lock(mutex_);
  if (--shares_ == 0) changed_.notify_one();
}

void PromptOutcomes::tell(size_t index, ErrorCode error) {
  {
    MutexLock lock(mutex_);
    if (!taken_) {
      told_[index] = error;
      return;
    }
  }
  on_late_(index, error);
}

std::vector<std::optional<ErrorCode>> PromptOutcomes::take(std::chrono::microseconds at_most) {
  const auto deadline = std::chrono::steady_clock::now() + at_most;
  std::vector<std::optional<ErrorCode>> told;
  {
    MutexLock lock(mutex_);
    while (shares_ > 0) {
      if (changed_.wait_until(mutex_, deadline) == std::cv_status::timeout) break;
    }
    taken_ = true;
    told.swap(told_);
  }
  const bool is_all = std::all_of(told.begin(), told.end(),
                                  [](const auto& outcome) { return outcome.has_value(); });
  // Here, and not by the thread that happens to be the last to let go of this: what the callback
  // holds may need the GIL to go.
  if (is_all) on_late_ = nullptr;
  return told;
}

}  // namespace barnabas::dataplane
