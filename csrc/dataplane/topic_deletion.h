// Takes the logs of a topic that is served no more out of their directories: renames these to
// `…-delete`, to be removed later.
//
// What fails is left to the next start, and so is what a directory that is offline may have: while
// there is one, the last step fails.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "dataplane/log_directories.h"
#include "dataplane/partition_mover.h"
#include "dataplane/partition_table.h"
#include "dataplane/topic_change.h"

namespace barnabas::dataplane {

class TopicDeletion final : public TopicChange {
 public:
  /// What a stop of the broker has to wait for at most: it is the longest step.
  static constexpr size_t kPartitionsPerStep = 100;

  /// REQUIRES: the topic is out of the table, its partitions are marked deleted.
  TopicDeletion(TopicPtr topic, LogDirectories& directories, PartitionMover& mover);

  [[nodiscard]] std::optional<size_t> next_directory() const override;
  Status step() override;

 private:
  using PartitionPtr = std::shared_ptr<Partition>;

  /// Whether something of it may be in several directories.
  [[nodiscard]] bool is_scattered(const Partition& partition) const;
  /// Of a scattered partition: true when nothing is left to be done.
  Result<bool> gather(const PartitionPtr& partition);
  Status remove_log(const PartitionPtr& partition);
  void note(Status status);

  const TopicPtr topic_;
  LogDirectories& directories_;
  PartitionMover& mover_;
  std::vector<PartitionPtr> left_;
  Status first_failure_;
};

}  // namespace barnabas::dataplane
