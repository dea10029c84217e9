// The outcomes of appends that were submitted together, to other threads: those that come while the
// one who submitted them waits are given to it at once, as a hand-over of each to the broker loop
// costs more than a short wait: it takes the GIL on both sides.
//
// Thread-safety: safe from every thread; take() is called once, tell() once for each append.
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <utility>
#include <vector>

#include "base/kafka_error.h"
#include "base/thread_annotations.h"
#include "dataplane/coordinator_append.h"

namespace barnabas::dataplane {

class PromptOutcomes {
 public:
  PromptOutcomes(size_t count, LateCallback on_late) : told_(count), on_late_(std::move(on_late)) {}

  /// A thread is to begin at once with some of them: take() waits until it has come to the end.
  void begin_share() EXCLUDES(mutex_);
  void end_share() EXCLUDES(mutex_);
  /// Keeps an outcome while somebody may wait for it, or tells it here and now.
  void tell(size_t index, ErrorCode error) EXCLUDES(mutex_);
  /// Waits for the shares that have begun. Returns, for each append, its outcome if there is one;
  /// the others are left to tell().
  [[nodiscard]] std::vector<std::optional<ErrorCode>> take(std::chrono::microseconds at_most)
      EXCLUDES(mutex_);

 private:
  Mutex mutex_;
  ConditionVariable changed_;
  size_t shares_ GUARDED_BY(mutex_) = 0;  // that are waited for
  bool taken_ GUARDED_BY(mutex_) = false;
  std::vector<std::optional<ErrorCode>> told_ GUARDED_BY(mutex_);  // until they are taken
  LateCallback on_late_;  // dropped by take() if none is left to be told, else constant
};

}  // namespace barnabas::dataplane
