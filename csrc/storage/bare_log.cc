#include "storage/bare_log.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <filesystem>

#include "base/file_system.h"
#include "base/logger.h"

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
  return Error{ErrorCode::kKafkaStorageError, directory + ": in use by another process",
               EWOULDBLOCK};
}

/// Refuses a partition of a data directory that a broker has open.
Status refuse_inside_a_running_broker(const std::string& directory) {
  const auto lock = std::filesystem::absolute(directory).lexically_normal().parent_path() / ".lock";
  auto fd = open_file(lock.string(), O_RDWR);
  if (!fd.ok()) return {};  // no data directory, or not ours to lock
  struct flock probe {};
  probe.l_type = F_WRLCK;
  probe.l_whence = SEEK_SET;
  if (::fcntl(fd->get(), F_OFD_GETLK, &probe) == 0 && probe.l_type != F_UNLCK) {
    return in_use(directory);
  }
  return {};
}

/// Ends the lock, of which a forked child may have a copy, and not just its descriptor.
class DirectoryLock {
 public:
  explicit DirectoryLock(UniqueFd fd) : fd_(std::move(fd)) {}
  ~DirectoryLock() {
    if (fd_.valid()) (void)::flock(fd_.get(), LOCK_UN);
  }
  DirectoryLock(const DirectoryLock&) = delete;
  DirectoryLock& operator=(const DirectoryLock&) = delete;

 private:
  UniqueFd fd_;
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
  if (!read_only) {
    std::error_code error;
    std::filesystem::create_directories(directory, error);
    if (error) {
      return Error{ErrorCode::kKafkaStorageError, directory + ": " + error.message(),
                   error.value()};
    }
    BARNABAS_TRY(refuse_inside_a_running_broker(directory));
    BARNABAS_ASSIGN(bare->lock_, open_file(directory, O_RDONLY | O_DIRECTORY));
    if (::flock(bare->lock_.get(), LOCK_EX | LOCK_NB) != 0) return in_use(directory);
    options.clean_shutdown = file_system().unlink((directory + kCleanMarker).c_str()) == 0;
    if (options.clean_shutdown) BARNABAS_TRY(sync_directory(directory));
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
  const DirectoryLock lock(std::move(lock_));  // released at return, whatever happens
  if (read_only_) return {};
  BARNABAS_TRY(log_->close());
  BARNABAS_ASSIGN(UniqueFd marker, open_file(directory_ + kCleanMarker, O_CREAT | O_WRONLY));
  return sync_directory(directory_);
}

}  // namespace barnabas::storage
