// The log directories: opening, describing them, moving partitions between them.
#include <algorithm>
#include <utility>

#include "base/logger.h"
#include "dataplane/engine_impl.h"
#include "dataplane/in_process.h"

namespace barnabas::dataplane {

Result<std::vector<DirectoryIdentity>> EngineImpl::open_directories(
    const std::vector<std::string>& paths, const std::string& cluster_id, int32_t node_id) {
  if (directories_ != nullptr) {
    return Error{ErrorCode::kUnknownServerError, "a data directory is open already"};
  }
  BARNABAS_ASSIGN(auto directories, LogDirectories::open(paths, cluster_id, node_id, clock_));
  directories_ = std::move(directories);
  make_mover();
  std::vector<DirectoryIdentity> identities = directory_identities();
  fetch_.set_node_id(identities.front().node_id);
  return identities;
}

Result<std::vector<DirectoryIdentity>> EngineImpl::make_directories(
    const std::vector<MissingDirectory>& missing) {
  BARNABAS_TRY(check_open());
  if (begun_) return Error{ErrorCode::kInvalidRequest, "partitions are being served"};
  directories_->make_new(missing);
  make_mover();  // for as many as there are now
  return directory_identities();
}

void EngineImpl::make_mover() {
  MutexLock lock(config_mutex_);
  mover_ = std::make_unique<PartitionMover>(table_, *directories_, clock_, config_);
}

std::vector<DirectoryIdentity> EngineImpl::directory_identities() const {
  std::vector<DirectoryIdentity> identities;
  for (size_t number = 0; number < directories_->count(); ++number) {
    DirectoryIdentity identity;
    identity.path = directories_->path(number);
    identity.error = directories_->error(number);
    identity.is_new = directories_->is_new(number);
    if (const PartitionStore* store = directories_->store_or_null(number)) {
      const storage::LogDir& directory = store->directory();
      identity.cluster_id = directory.identity().cluster_id;
      identity.node_id = directory.identity().node_id;
      identity.directory_id = directory.identity().directory_id;
      identity.was_clean = directory.was_clean();
    }
    identities.push_back(std::move(identity));
  }
  return identities;
}

std::vector<DirectoryState> EngineImpl::directory_states() {
  std::vector<DirectoryState> states;
  for (size_t number = 0; directories_ != nullptr && number < directories_->count(); ++number) {
    states.push_back({directories_->path(number), directories_->online(number)});
  }
  return states;
}

Result<std::vector<DeletionFailure>> EngineImpl::finish_deletions(
    std::span<const DeletedTopic> topics) {
  BARNABAS_TRY(check_open());
  for (const DeletedTopic& topic : topics) {
    const TopicPtr served = table_.find(topic.name);
    if (served != nullptr && (served->identity->id == topic.id || !topic.has_namesake)) {
      return Error{ErrorCode::kInvalidRequest, "topic " + topic.name + " is being served"};
    }
  }
  return directories_->finish_deletions(topics);
}

void EngineImpl::resume_moves() {
  table_.for_each([this](const Topic& topic, const std::shared_ptr<Partition>& partition) {
    if (partition->log() == nullptr) return;
    bool resumed = false;
    const storage::TopicPartition name{topic.identity->name, partition->index()};
    for (const auto& future : directories_->take_futures(name)) {
      if (!resumed && future.directory != partition->directory()) {
        mover_->resume(partition, future, topic.config);
        resumed = true;
        continue;
      }
      const Status removed =
          directories_->store(future.directory).remove_directory(name, future.path);
      if (!removed.ok()) log(LogLevel::kError, "store", removed.error().message);
    }
  });
}

std::vector<PartitionInfo> EngineImpl::partition_infos() {
  std::vector<PartitionInfo> infos;
  for (const auto& partition : table_.partitions()) {
    PartitionInfo info = info_of(*partition);
    const size_t directory = partition->directory();
    if (directory != Partition::kNoDirectory) info.directory = directories_->path(directory);
    infos.push_back(std::move(info));
  }
  if (mover_ == nullptr) return infos;
  for (const MoveState& move : mover_->moves()) {
    PartitionInfo info = info_of(*move.partition);
    info.directory = directories_->path(move.directory);
    info.is_future = true;
    info.offset_lag = std::max<int64_t>(info.log_end_offset - move.copy_end_offset, 0);
    info.size_bytes = move.copy_bytes;
    infos.push_back(std::move(info));
  }
  return infos;
}

Result<std::vector<ErrorCode>> EngineImpl::alter_replica_log_dirs(
    std::span<const DirectoryAssignment> asked) {
  BARNABAS_TRY(check_open());
  MutexLock lock(moves_mutex_);
  std::vector<ErrorCode> answers;
  answers.reserve(asked.size());
  for (const DirectoryAssignment& one : asked) {
    const Status altered = alter_directory(one);
    if (!altered.ok()) log(LogLevel::kWarning, "mover", altered.error().message);
    answers.push_back(altered.ok() ? ErrorCode::kNone : altered.error().code);
  }
  return answers;
}

Status EngineImpl::alter_directory(const DirectoryAssignment& asked) {
  const storage::TopicPartition name{asked.topic, asked.partition};
  const auto refused = [&](ErrorCode code, const std::string& why) {
    return Error{code, name.to_string() + " cannot move to " + asked.path + ": " + why};
  };
  if (is_cut_in_unique_name(name, storage::kFutureSuffix)) {
    return refused(ErrorCode::kInvalidTopicException, "the topic name is too long");
  }
  const auto directory = directories_->find(asked.path);
  if (!directory) return refused(ErrorCode::kLogDirNotFound, "it is none of log.dirs");
  if (!directories_->online(*directory)) {
    return refused(ErrorCode::kKafkaStorageError, "it is offline");
  }
  const TopicPtr topic = table_.find(asked.topic);
  const auto* found = topic == nullptr ? nullptr : topic->find(asked.partition);
  if (found == nullptr) {
    directories_->prefer(name, *directory);
    return refused(ErrorCode::kUnknownTopicOrPartition,
                   "there is no such partition; when it is made it will lie there");
  }
  const std::shared_ptr<Partition>& partition = *found;
  if (partition->offline()) return refused(ErrorCode::kKafkaStorageError, "it is offline");
  // As Kafka: the copy may be in the directory that is offline already.
  if (partition->directory() != *directory && !directories_->all_online()) {
    return refused(ErrorCode::kKafkaStorageError, "a log directory is offline");
  }
  return mover_->move(partition, *directory, topic->config);
}

}  // namespace barnabas::dataplane
