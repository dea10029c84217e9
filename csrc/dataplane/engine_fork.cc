// Forks: other directories with what the log directories hold at one moment, for another broker.
//
// The moment lies between the stop of the appends of the last log and their going on in the first:
// what one partition says of another (an offset committed, a transaction decided) is then true in
// the fork as well. No file is touched in that time. Files are linked and copied afterwards, while
// flushes, retention and compaction wait; the table does not change meanwhile, nor does another
// fork begin. Locks of several logs are held together by forks alone, which topics_mutex_ keeps
// apart.
#include <filesystem>
#include <utility>

#include "base/file_copy.h"
#include "dataplane/disk_pool.h"
#include "dataplane/engine_impl.h"
#include "storage/log_dir.h"
#include "storage/log_fork.h"

namespace barnabas::dataplane {
namespace {

// What is worth a segment of its own rather than a copy in every fork.
constexpr uint64_t kRollAboveBytes = 1 << 20;

struct ForkedPartition {
  storage::TopicPartition name;
  std::unique_ptr<storage::LogFork> log;
  size_t directory = 0;
};

Error cannot_fork(const std::string& why) {
  return {ErrorCode::kKafkaStorageError, "cannot be forked: " + why, 0};
}

/// Of every log the same moment.
Status cut_all(std::vector<ForkedPartition>& forks) {
  for (ForkedPartition& fork : forks) fork.log->stop_appends();
  Status first;
  for (ForkedPartition& fork : forks) {
    if (first.ok()) first = fork.log->cut();
  }
  for (ForkedPartition& fork : forks) fork.log->resume_appends();
  return first;
}

Status write_all(const std::vector<ForkedPartition>& forks, const std::vector<std::string>& paths,
                 int threads) {
  std::vector<Status> written(forks.size());
  parallel_for(threads, forks.size(), [&](size_t i) {
    const ForkedPartition& fork = forks[i];
    written[i] = fork.log->write(paths[fork.directory] + "/" + fork.name.to_string());
  });
  for (Status& status : written) BARNABAS_TRY(std::move(status));
  return {};
}

std::vector<storage::LogDirOffsets> offsets_of(const std::vector<ForkedPartition>& forks,
                                               size_t directories) {
  std::vector<storage::LogDirOffsets> all(directories);
  for (const ForkedPartition& fork : forks) {
    storage::LogDirOffsets& offsets = all[fork.directory];
    const storage::ForkedOffsets& of_log = fork.log->offsets();
    offsets.recovery_points[fork.name] = of_log.log_end_offset;
    offsets.high_watermarks[fork.name] = of_log.log_end_offset;
    if (of_log.log_start_offset > 0) {
      offsets.log_start_offsets[fork.name] = of_log.log_start_offset;
    }
    if (of_log.cleaned_offset > 0) offsets.cleaned_offsets[fork.name] = of_log.cleaned_offset;
  }
  return all;
}

}  // namespace

Status EngineImpl::check_forkable(const std::vector<std::string>& paths) const {
  BARNABAS_TRY(check_open());
  for (size_t number = 0; number < directories_->count(); ++number) {
    if (directories_->online(number)) continue;
    return cannot_fork("its log directory " + directories_->path(number) + " is offline");
  }
  if (paths.size() != directories_->count()) {
    return cannot_fork("it has " + std::to_string(directories_->count()) +
                       " log directories, the fork would have " + std::to_string(paths.size()));
  }
  for (const auto& partition : table_.partitions()) {
    if (partition->offline()) return cannot_fork(partition->to_string() + " is offline");
  }
  return {};
}

Status EngineImpl::fork(const std::vector<std::string>& paths, bool durable) {
  const MutexLock topics_lock(topics_mutex_);
  BARNABAS_TRY(check_forkable(paths));
  int threads = 1;
  {
    MutexLock lock(config_mutex_);
    threads = config_.disk_threads;
  }
  // Where nothing can be linked all is copied, and a segment of its own gives no advantage.
  std::vector<uint64_t> roll_above_bytes;
  for (size_t number = 0; number < paths.size(); ++number) {
    const bool linkable = on_one_file_system(directories_->path(number), paths[number]);
    roll_above_bytes.push_back(linkable ? kRollAboveBytes : UINT64_MAX);
  }
  const auto partitions = table_.partitions();  // outlive the forks of their logs
  std::vector<ForkedPartition> forks;
  forks.reserve(partitions.size());
  for (const auto& partition : partitions) {
    const size_t supposed = partition->directory();
    BARNABAS_ASSIGN(auto log, partition->log()->begin_fork(roll_above_bytes[supposed]));
    // A move may have ended a moment ago.
    const auto home = std::filesystem::path(log->directory()).parent_path().string();
    const size_t directory = directories_->find(home).value_or(supposed);
    forks.push_back({{partition->topic().name, partition->index()}, std::move(log), directory});
  }
  BARNABAS_TRY(cut_all(forks));
  BARNABAS_TRY(write_all(forks, paths, threads));
  const auto offsets = offsets_of(forks, paths.size());
  forks.clear();
  for (size_t number = 0; number < paths.size(); ++number) {
    BARNABAS_TRY(storage::LogDir::complete(
        paths[number], directories_->store(number).directory().identity(), offsets[number],
        durable ? storage::Durability::kNow : storage::Durability::kLater));
  }
  return {};
}

}  // namespace barnabas::dataplane
