#include "dataplane/delete_records.h"

#include "base/logger.h"

namespace barnabas::dataplane {
namespace {

constexpr int64_t kHighWatermark = -1;

/// Returns the new log start offset.
Result<int64_t> delete_before(const PartitionTable& table, const RecordDeletion& asked) {
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
  return partition.log_start_offset();
}

}  // namespace

std::vector<DeletedRecords> delete_records(const PartitionTable& table, LogDirectories& directories,
                                           std::span<const RecordDeletion> asked) {
  std::vector<DeletedRecords> answers;
  answers.reserve(asked.size());
  bool moved = false;
  for (const RecordDeletion& one : asked) {
    const auto deleted = delete_before(table, one);
    answers.push_back(deleted.ok() ? DeletedRecords{ErrorCode::kNone, *deleted}
                                   : DeletedRecords{deleted.error().code, -1});
    moved = moved || deleted.ok();
  }
  if (!moved) return answers;
  if (const Status written = directories.write_checkpoints(table); !written.ok()) {
    log(LogLevel::kError, "store", written.error().message);
    for (DeletedRecords& answer : answers) {
      if (answer.error == ErrorCode::kNone) answer = {ErrorCode::kKafkaStorageError, -1};
    }
  }
  return answers;
}

}  // namespace barnabas::dataplane
