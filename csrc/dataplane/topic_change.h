// A change of a topic, in steps of which each waits for one log directory at most: made by threads
// of that directory, they hold up nothing elsewhere when it stalls.
//
// Ownership: borrows what the engine owns; must not outlive it.
//
// Thread-safety: one thread at a time. Different changes may be made at the same time, but no two
// of the same topic, unless they are of its configuration.
#pragma once

#include <cstddef>
#include <optional>

#include "base/result.h"

namespace barnabas::dataplane {

class TopicChange {
 public:
  /// In place of a directory's number: the step may wait for several.
  static constexpr size_t kSeveral = SIZE_MAX;

  TopicChange() = default;
  virtual ~TopicChange() = default;
  TopicChange(const TopicChange&) = delete;
  TopicChange& operator=(const TopicChange&) = delete;

  /// The directory that the next step may wait for; nothing when the change has come to its end.
  /// Quick.
  [[nodiscard]] virtual std::optional<size_t> next_directory() const = 0;
  /// Makes the next step. The last one says whether all went well; those before say nothing.
  /// REQUIRES: there is a next step.
  virtual Status step() = 0;

  /// Makes all steps.
  Status carry_out() {
    Status status;
    while (next_directory().has_value()) status = step();
    return status;
  }
};

}  // namespace barnabas::dataplane
