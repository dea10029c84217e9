#include "storage/partition_metadata.h"

#include "base/logger.h"
#include "storage/checkpoint_file.h"
#include "storage/log_file_name.h"

namespace barnabas::storage {
namespace {

constexpr std::string_view kVersionLine = "version: 0\n";
constexpr std::string_view kTopicIdKey = "topic_id: ";
constexpr size_t kUuidTextBytes = 22;

std::string metadata_path(const std::string& directory) {
  return directory + "/" + std::string(kPartitionMetadataName);
}

}  // namespace

std::optional<Uuid> read_partition_metadata(const std::string& directory) {
  const std::string path = metadata_path(directory);
  const auto content = read_small_file(path);
  if (!content.ok()) {
    if (content.error().sys_errno != ENOENT) {
      log(LogLevel::kWarning, "storage", content.error().message);
    }
    return std::nullopt;
  }
  std::string_view text = as_text(*content);
  std::optional<Uuid> id;
  if (text.starts_with(kVersionLine)) {
    text.remove_prefix(kVersionLine.size());
    if (text.starts_with(kTopicIdKey)) {
      id = Uuid::parse(text.substr(kTopicIdKey.size(), kUuidTextBytes));
    }
  }
  if (!id) log(LogLevel::kWarning, "storage", path + ": not understood, ignored");
  return id;
}

Status write_partition_metadata(const std::string& directory, const Uuid& topic_id) {
  std::string text(kVersionLine);
  text += kTopicIdKey;
  text += topic_id.to_string();
  // Not fsynced here: ten thousand new partitions would wait for ten thousand fsyncs, and a lost
  // file is written again from the metadata store.
  return replace_file(metadata_path(directory), as_bytes(text), Durability::kLater);
}

}  // namespace barnabas::storage
