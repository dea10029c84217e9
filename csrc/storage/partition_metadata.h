// `partition.metadata`: the id of the topic that a partition's directory belongs to.
//
// Layout, as text: `version: 0`, `topic_id: <22 characters of URL-safe base64>`.
#pragma once

#include <optional>
#include <string>

#include "base/result.h"
#include "base/uuid.h"

namespace barnabas::storage {

/// The topic id in `directory`; nullopt when the file is missing or cannot be understood (the
/// latter is logged: the metadata store knows the id as well, so the file is just written again).
std::optional<Uuid> read_partition_metadata(const std::string& directory);
Status write_partition_metadata(const std::string& directory, const Uuid& topic_id);

}  // namespace barnabas::storage
