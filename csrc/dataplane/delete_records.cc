#include "dataplane/delete_records.h"

#include <map>

#include "base/logger.h"

namespace barnabas::dataplane {
namespace {

constexpr int64_t kHighWatermark = -1;

struct Deleted {
  int64_t log_start_offset = 0;
  size_t directory = 0;
};

Result<Deleted> delete_before(const PartitionTable& table, const RecordDeletion& asked) {
  const TopicPtr topic = table.find(asked.topic);
  const auto* found = topic == nullptr ? nullptr : topic->find(asked.partition);
  const auto failed = [&asked](ErrorCode code, const std::string& why) {
    return Error{code, asked.topic + "-" + std::to_string(asked.partition) + ": " + why};
  };
  if (found == nullptr) return failed(ErrorCode::kUnknownTopicOrPartition, "there is none");
  const Partition& partition = **found;
  if (const ErrorCode error = partition.availability(); error != ErrorCode::kNone) {
    return failed(error, "is not served");
  }
  if (!topic->config.delete_old) {
    return failed(ErrorCode::kPolicyViolation, "is compacted only");
  }
  const int64_t high_watermark = partition.high_watermark();
  const int64_t offset =
      asked.before_offset == kHighWatermark ? high_watermark : asked.before_offset;
  if (offset < 0 || offset > high_watermark) {
    return failed(ErrorCode::kOffsetOutOfRange, "offset " + std::to_string(offset) +
                                                    " is not in [0, " +
                                                    std::to_string(high_watermark) + "]");
  }
  BARNABAS_TRY(partition.log()->advance_log_start_offset(offset));
  return Deleted{partition.log_start_offset(), partition.directory()};
}

}  // namespace

std::vector<DeletedRecords> delete_records(const PartitionTable& table, LogDirectories& directories,
                                           std::span<const RecordDeletion> asked) {
  std::vector<DeletedRecords> answers;
  answers.reserve(asked.size());
  std::map<size_t, std::vector<size_t>> moved;  // answers, by directory
  for (const RecordDeletion& one : asked) {
    const auto deleted = delete_before(table, one);
    if (deleted.ok()) moved[deleted->directory].push_back(answers.size());
    answers.push_back(deleted.ok() ? DeletedRecords{ErrorCode::kNone, deleted->log_start_offset}
                                   : DeletedRecords{deleted.error().code, -1});
  }
  for (const auto& [directory, numbers] : moved) {
    const Status written = directories.store(directory).write_checkpoints(table);
    if (written.ok()) continue;
    log(LogLevel::kError, "store", written.error().message);
    for (const size_t number : numbers) answers[number] = {ErrorCode::kKafkaStorageError, -1};
  }
  return answers;
}

}  // namespace barnabas::dataplane
