#include "storage/bare_log.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "base/file_system.h"
#include "base/logger.h"
#include "storage/log_dir.h"
#include "storage/log_file_name.h"

namespace barnabas::storage {
namespace {

constexpr size_t kMaxOpenFiles = 64;
constexpr const char* kCleanMarker = "/.kafka_cleanshutdown";

TopicPartition name_of(const std::string& directory) {
  const auto path = std::filesystem::path(directory).lexically_normal();
  const std::string name =
      path.has_filename() ? path.filename().string() : path.parent_path().filename().string();
  if (auto parsed = TopicPartition::parse(name)) return *std::move(parsed);
  return {name.empty() ? "log" : name, 0};
}

Error in_use(const std::string& directory) {
  return Error{ErrorCode::kKafkaStorageError,
               directory + ": in use by another process, or by this one", EWOULDBLOCK};
}

/// Of a partition in a data directory: keeps brokers from starting there, but not other logs.
/// Invalid when it is no data directory, or not ours to lock.
Result<UniqueFd> lock_out_brokers(const std::string& directory) {
  auto fd = open_file(parent_of(directory) + "/.lock", O_RDONLY);
  if (!fd.ok()) return UniqueFd();
  struct flock shared {};
  shared.l_type = F_RDLCK;
  shared.l_whence = SEEK_SET;
  if (::fcntl(fd->get(), F_OFD_SETLK, &shared) == 0) return std::move(fd).value();
  if (errno == EAGAIN || errno == EACCES) return in_use(directory);
  return UniqueFd();  // no locks on this file system, so no broker either
}

/// What the broker of a data directory has noted of a partition in one of its checkpoints.
int64_t checkpointed(const std::string& directory, const TopicPartition& name,
                     std::string_view checkpoint) {
  const auto offsets = read_offset_checkpoint(parent_of(directory) + "/" + std::string(checkpoint));
  if (!offsets.ok()) return 0;
  const auto found = offsets->find(name);
  return found == offsets->end() ? 0 : found->second;
}

/// Where the broker of a data directory says that the log begins.
Result<int64_t> noted_log_start(const std::string& directory, const TopicPartition& name) {
  const std::filesystem::path parent = parent_of(directory);
  const auto starts = read_log_start_offsets(parent.string());
  if (!starts.ok()) {
    // Apache Kafka, whose metadata lies there, changes it and says nothing of checksums.
    std::error_code error;
    const bool kafkas = std::filesystem::exists(parent / "__cluster_metadata-0", error);
    const bool contradicted = starts.error().code == ErrorCode::kCorruptMessage && !kafkas;
    if (contradicted || starts.error().sys_errno == EAGAIN) return starts.error();
    return checkpointed(directory, name, kLogStartCheckpointName);
  }
  const auto found = starts->find(name);
  return found == starts->end() ? 0 : found->second;
}

/// Ends locks, of which a forked child may have copies, and not just their descriptors.
class Locks {
 public:
  Locks(UniqueFd log, UniqueFd data_dir) : log_(std::move(log)), data_dir_(std::move(data_dir)) {}
  ~Locks() {
    if (log_.valid()) (void)::flock(log_.get(), LOCK_UN);
    struct flock none {};
    none.l_type = F_UNLCK;
    none.l_whence = SEEK_SET;
    if (data_dir_.valid()) (void)::fcntl(data_dir_.get(), F_OFD_SETLK, &none);
  }
  Locks(const Locks&) = delete;
  Locks& operator=(const Locks&) = delete;

 private:
  UniqueFd log_;
  UniqueFd data_dir_;
};

}  // namespace

BareLog::BareLog(TopicPartition name, std::string directory, bool read_only)
    : name_(std::move(name)),
      directory_(std::move(directory)),
      read_only_(read_only),
      fds_(kMaxOpenFiles) {}

Result<std::unique_ptr<BareLog>> BareLog::open(const std::string& path, const LogConfig& config,
                                               bool read_only, Clock& clock) {
  // Absolute and without a slash at its end, so that it has a parent.
  std::string directory = std::filesystem::absolute(path).string();
  while (directory.size() > 1 && directory.back() == '/') directory.pop_back();
  std::unique_ptr<BareLog> bare(new BareLog(name_of(directory), directory, read_only));
  LogOpenOptions options;
  options.read_only = read_only;
  options.clean_shutdown = read_only;
  if (read_only) {
    // It may be within a segment.
    BARNABAS_ASSIGN(options.log_start_offset, noted_log_start(directory, bare->name_));
  } else {
    std::error_code error;
    std::filesystem::create_directories(directory, error);
    if (error) {
      return Error{ErrorCode::kKafkaStorageError, directory + ": " + error.message(),
                   error.value()};
    }
    BARNABAS_ASSIGN(bare->data_dir_lock_, lock_out_brokers(directory));
    BARNABAS_ASSIGN(bare->lock_, open_file(directory, O_RDONLY | O_DIRECTORY));
    if (::flock(bare->lock_.get(), LOCK_EX | LOCK_NB) != 0) return in_use(directory);
    options.clean_shutdown = file_system().unlink((directory + kCleanMarker).c_str()) == 0;
    if (options.clean_shutdown) BARNABAS_TRY(sync_directory(directory));
    // Or the gaps that the broker's compaction has left would be a loss.
    options.cleaned_offset = checkpointed(directory, bare->name_, kCleanedCheckpointName);
  }
  BARNABAS_ASSIGN(bare->log_,
                  Log::open(directory, bare->name_, config, options, bare->fds_, clock));
  return bare;
}

BareLog::~BareLog() {
  const Status status = close();
  if (!status.ok()) barnabas::log(LogLevel::kError, "log", status.error().message);
}

Status BareLog::close() {
  if (closed_ || log_ == nullptr) return {};
  closed_ = true;
  const Locks locks(std::move(lock_),
                    std::move(data_dir_lock_));  // until the return, whatever happens
  if (read_only_) return {};
  BARNABAS_TRY(log_->close());
  BARNABAS_ASSIGN(UniqueFd marker, open_file(directory_ + kCleanMarker, O_CREAT | O_WRONLY));
  return sync_directory(directory_);
}

}  // namespace barnabas::storage
