// The log directories, as the data plane and its caller speak of them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/uuid.h"
#include "storage/topic_partition.h"

namespace barnabas::dataplane {

/// What is known of a log directory that was opened.
struct DirectoryIdentity {
  std::string path;
  std::string cluster_id;
  int32_t node_id = 0;
  std::string directory_id;
  bool was_clean = false;
  std::string error;    // not empty: could not be opened, all in it is offline
  bool is_new = false;  // nothing of a log directory is there yet
};

/// A log directory that the broker has had, and that is not there.
struct MissingDirectory {
  std::string path;
  std::string error;
};

/// Where there is a directory of a partition.
struct PartitionPlace {
  storage::TopicPartition name;
  std::string log_directory;
  /// Whose it says it is; looked at only when the partition has directories in several places.
  std::optional<Uuid> topic_id;
};

/// A log directory as it is now.
struct DirectoryState {
  std::string path;
  bool online = false;
};

/// Which log directory a partition is to lie in.
struct DirectoryAssignment {
  std::string topic;
  int32_t partition = 0;
  std::string path;
};

/// A topic that is deleted, of which something may still lie in log directories.
struct DeletedTopic {
  std::string name;
  Uuid id;
  int32_t partition_count = 0;
  bool has_namesake = false;  // that is not deleted
};

/// What is in the way of removing what there is of a deleted topic.
struct DeletionFailure {
  Uuid topic_id;
  std::string message;
};

}  // namespace barnabas::dataplane
