#include "dataplane/topic_deletion.h"

#include <algorithm>
#include <cassert>
#include <utility>

namespace barnabas::dataplane {

TopicDeletion::TopicDeletion(TopicPtr topic, LogDirectories& directories, PartitionMover& mover)
    : topic_(std::move(topic)), directories_(directories), mover_(mover) {
  for (const PartitionPtr& partition : topic_->partitions) {
    if (partition != nullptr) left_.push_back(partition);
  }
}

bool TopicDeletion::is_scattered(const Partition& partition) const {
  return partition.log() == nullptr || mover_.is_moving(partition);
}

std::optional<size_t> TopicDeletion::next_directory() const {
  if (left_.empty()) return std::nullopt;
  const Partition& next = *left_.back();
  return is_scattered(next) ? kSeveral : next.directory();
}

Status TopicDeletion::step() {
  const auto directory = next_directory();
  assert(directory.has_value());
  if (*directory == kSeveral) {
    const PartitionPtr partition = left_.back();
    const auto gathered = gather(partition);
    if (!gathered.ok()) note(gathered.error());
    if (!gathered.ok() || *gathered) left_.pop_back();
  } else {
    const LogDirectories::AtWork at_work(directories_, *directory);
    size_t count = 0;
    std::erase_if(left_, [&](const PartitionPtr& partition) {
      if (count == kPartitionsPerStep || partition->directory() != *directory ||
          is_scattered(*partition)) {
        return false;
      }
      ++count;
      note(remove_log(partition));
      return true;
    });
  }
  if (!left_.empty()) return {};
  if (!directories_.all_online()) {
    note(Error{ErrorCode::kKafkaStorageError,
               "a log directory is offline, and may have something of it", 0});
  }
  return first_failure_;
}

Result<bool> TopicDeletion::gather(const PartitionPtr& partition) {
  // Its copy first: alone it would be taken for whole at the next start.
  BARNABAS_TRY(mover_.cancel(partition));
  if (partition->log() != nullptr) return false;
  BARNABAS_TRY(
      directories_.remove({topic_->identity->name, partition->index()}, topic_->identity->id));
  return true;
}

Status TopicDeletion::remove_log(const PartitionPtr& partition) {
  BARNABAS_TRY(partition->log()->mark_deleted());
  directories_.store(partition->directory())
      .remove_later(partition->log()->directory(), topic_->config.file_delete_delay_ms);
  return {};
}

void TopicDeletion::note(Status status) {
  if (!status.ok() && first_failure_.ok()) first_failure_ = std::move(status);
}

}  // namespace barnabas::dataplane
