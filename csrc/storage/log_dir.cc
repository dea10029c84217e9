#include "storage/log_dir.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <chrono>
#include <filesystem>
#include <thread>

#include "base/fd.h"
#include "base/file_system.h"
#include "base/logger.h"
#include "base/thread_annotations.h"
#include "base/uuid.h"
#include "storage/checkpoint_file.h"
#include "storage/checksum_file.h"
#include "storage/log_file_name.h"
#include "storage/sync_result.h"

namespace barnabas::storage {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view kLockName = ".lock";
constexpr std::string_view kMetaPropertiesName = "meta.properties";
constexpr std::string_view kCleanShutdownName = ".kafka_cleanshutdown";
constexpr std::string_view kRecoveryPointName = "recovery-point-offset-checkpoint";
constexpr std::string_view kHighWatermarkName = "replication-offset-checkpoint";
constexpr std::string_view kLastAbortsName = "transaction-index-checkpoint";
// As Kafka writes it when it knows no broker epoch.
constexpr std::string_view kCleanShutdownContent = R"({"version":0,"brokerEpoch":-1})";
// What may be in a directory that is still to be made ours: an empty file system's root, our lock,
// and the metadata store, which is opened beside us.
constexpr std::string_view kHarmlessPrefixes[] = {".lock", "lost+found", "meta.properties.tmp",
                                                  "metadata."};

Error directory_error(const std::string& path, const std::string& why, int sys_errno = 0) {
  return Error{ErrorCode::kKafkaStorageError, "data directory " + path + ": " + why, sys_errno};
}

Result<UniqueFd> lock_directory(const std::string& path) {
  const std::string lock_path = path + "/" + std::string(kLockName);
  auto fd = open_file(lock_path, O_RDWR | O_CREAT);
  if (!fd.ok()) {
    return directory_error(path, std::string("not writable: ") + strerror(fd.error().sys_errno),
                           fd.error().sys_errno);
  }
  // A POSIX lock, which is what Java's FileChannel.tryLock takes: Apache Kafka and Barnabas keep
  // each other out. The open-file-description kind also keeps out a second broker in this process.
  struct flock whole_file {};
  whole_file.l_type = F_WRLCK;
  whole_file.l_whence = SEEK_SET;
  if (::fcntl(fd->get(), F_OFD_SETLK, &whole_file) != 0) {
    const int err = errno;
    if (err == EAGAIN || err == EACCES) {
      return directory_error(
          path, "in use by another process, or by this one (" + lock_path + " is locked)", err);
    }
    return directory_error(path, std::string("cannot be locked: ") + strerror(err), err);
  }
  return std::move(fd).value();
}

std::map<std::string, std::string> parse_properties(std::string_view text) {
  std::map<std::string, std::string> properties;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    const size_t equals = line.find('=');
    if (line.empty() || line[0] == '#' || equals == std::string_view::npos) continue;
    properties.emplace(line.substr(0, equals), line.substr(equals + 1));
  }
  return properties;
}

/// Of a meta.properties that cannot be understood.
Error no_identity(const std::string& path, const std::string& why) {
  return malformed_file(path, why +
                                  ". It says whose directory this is: put it back as it was, "
                                  "lines of version=1, cluster.id, node.id and directory.id");
}

Result<LogDirIdentity> parse_identity(const std::string& path, std::string_view text) {
  const auto properties = parse_properties(text);
  const auto value = [&properties](const char* key) {
    const auto found = properties.find(key);
    return found == properties.end() ? std::string() : found->second;
  };
  if (value("version") != "1") {
    return no_identity(path, "version is \"" + value("version") + "\", not 1");
  }
  LogDirIdentity identity;
  identity.cluster_id = value("cluster.id");
  identity.directory_id = value("directory.id");
  const std::string node_id = value("node.id");
  const auto [end, error] =
      std::from_chars(node_id.data(), node_id.data() + node_id.size(), identity.node_id);
  if (error != std::errc() || end != node_id.data() + node_id.size()) {
    return no_identity(path, "node.id is \"" + node_id + "\", not a number");
  }
  if (identity.cluster_id.empty()) return no_identity(path, "cluster.id is missing");
  return identity;
}

Status write_identity(const std::string& path, const LogDirIdentity& identity,
                      Durability durability) {
  const std::string text = "#\ncluster.id=" + identity.cluster_id +
                           "\ndirectory.id=" + identity.directory_id +
                           "\nnode.id=" + std::to_string(identity.node_id) + "\nversion=1\n";
  return replace_file(path, as_bytes(text), durability);
}

std::string random_directory_id() {
  std::string id;
  do {
    id = Uuid::random().to_string();
    // Kafka keeps the ids whose text starts with a dash out of the way of command lines.
  } while (id[0] == '-');
  return id;
}

/// The error that keeps a directory without meta.properties from being taken over, if any.
Status check_may_become_ours(const std::string& path) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(path, error)) {
    const std::string name = entry.path().filename().string();
    bool harmless = false;
    for (const std::string_view prefix : kHarmlessPrefixes) {
      harmless = harmless || name.starts_with(prefix);
    }
    if (!harmless) {
      return directory_error(path, "not empty and not made by Barnabas (it has \"" + name +
                                       "\" but no meta.properties)");
    }
  }
  if (error) return directory_error(path, "cannot be listed: " + error.message(), error.value());
  return {};
}

/// `take(partition, offset)` for each line of an offset checkpoint; a missing file has none.
template <class Take>
Status read_offset_lines(const std::string& path, const Take& take) {
  auto lines = read_checkpoint_lines(path);
  if (!lines.ok()) {
    return lines.error().sys_errno == ENOENT ? Status() : Status(std::move(lines).error());
  }
  int number = 2;
  for (const std::string& line : *lines) {
    ++number;
    const size_t second = line.rfind(' ');
    const size_t first =
        second == std::string::npos || second == 0 ? second : line.rfind(' ', second - 1);
    TopicPartition partition;
    int64_t offset = 0;
    bool good = first != std::string::npos && first > 0 && second > first;
    if (good) {
      partition.topic = line.substr(0, first);
      const char* p = line.data();
      const auto a = std::from_chars(p + first + 1, p + second, partition.partition);
      const auto b = std::from_chars(p + second + 1, p + line.size(), offset);
      good = a.ec == std::errc() && a.ptr == p + second && b.ec == std::errc() &&
             b.ptr == p + line.size();
    }
    if (!good) {
      return malformed_file(path, "line " + std::to_string(number) +
                                      ": not \"topic partition offset\": \"" + line + "\"");
    }
    take(std::move(partition), offset);
  }
  return {};
}

std::string offset_line(const TopicPartition& partition, int64_t offset) {
  return partition.topic + " " + std::to_string(partition.partition) + " " + std::to_string(offset);
}

std::string offset_checkpoint_text(const OffsetCheckpoint& offsets) {
  std::vector<std::string> lines;
  lines.reserve(offsets.size());
  for (const auto& [partition, offset] : offsets) {
    lines.push_back(offset_line(partition, offset));
  }
  return checkpoint_text(lines);
}

/// A checkpoint and what its checksum file has.
struct VouchedContent {
  Checksum content;
  std::vector<Checksum> saved;
};

/// kCorruptMessage when the checksums say that something else was written there.
Result<VouchedContent> read_vouched_content(const std::string& checkpoint,
                                            const std::string& way_out) {
  auto content = read_small_file(checkpoint);
  if (!content.ok() && content.error().sys_errno != ENOENT) return std::move(content).error();
  const Checksum found = content.ok() ? checksum_of(*content) : Checksum();
  auto sums = read_checksums(checkpoint);
  const bool contradicted =
      !sums.ok() || (*sums && std::find((*sums)->begin(), (*sums)->end(), found) == (*sums)->end());
  if (!contradicted) return VouchedContent{found, *sums ? **sums : std::vector<Checksum>()};
  const std::string name = fs::path(checkpoint).filename().string();
  return Error{ErrorCode::kCorruptMessage,
               (sums.ok() ? checkpoint + ": is not what was written there, by " + name +
                                std::string(suffix::kChecksum)
                          : sums.error().message) +
                   way_out,
               0};
}

}  // namespace

Result<OffsetCheckpoint> read_log_start_offsets(const std::string& data_dir) {
  constexpr int kTries = 100;
  const std::string checkpoint = data_dir + "/" + std::string(kLogStartCheckpointName);
  const std::string way_out =
      ". If Apache Kafka has written it since, remove " + std::string(kLogStartCheckpointName) +
      std::string(suffix::kChecksum) + "; or else put back the two files as they were";
  // Its broker writes one file after the other: what contradicts may be of two moments.
  for (int tries_left = kTries;; --tries_left) {
    const auto before = read_vouched_content(checkpoint, way_out);
    if (before.ok()) {
      BARNABAS_ASSIGN(OffsetCheckpoint offsets, read_offset_checkpoint(checkpoint));
      const auto after = read_vouched_content(checkpoint, way_out);
      if (after.ok() && after->content == before->content) return offsets;
    }
    if (tries_left == 0) {
      if (!before.ok()) return before.error();
      return Error{ErrorCode::kKafkaStorageError, checkpoint + ": changes while it is read",
                   EAGAIN};
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

Result<OffsetCheckpoint> read_offset_checkpoint(const std::string& path) {
  OffsetCheckpoint offsets;
  BARNABAS_TRY(read_offset_lines(path, [&](TopicPartition partition, int64_t offset) {
    offsets[std::move(partition)] = offset;
  }));
  return offsets;
}

Status write_offset_checkpoint(const std::string& path, const OffsetCheckpoint& offsets,
                               Durability durability) {
  return replace_file(path, as_bytes(offset_checkpoint_text(offsets)), durability);
}

struct LogDir::State {
  std::string path;
  UniqueFd lock;
  LogDirIdentity identity;
  bool was_clean = false;
  std::atomic<bool> sync_failed = false;
  Mutex checkpoint_mutex;  // one writer of a checkpoint's temporary file at a time
  std::map<std::string_view, VouchedContent> vouched GUARDED_BY(checkpoint_mutex);

  [[nodiscard]] std::string file(std::string_view name) const {
    return path + "/" + std::string(name);
  }
  Status write(std::string_view name, const OffsetCheckpoint& offsets) {
    MutexLock guard(checkpoint_mutex);
    return replace(file(name), offset_checkpoint_text(offsets));
  }
  Status replace(const std::string& target, const std::string& text) {
    return noted(replace_synced(target, as_bytes(text)));
  }
  Status noted(SyncResult result) {
    if (result.fsync_failed) sync_failed.store(true);
    return std::move(result.status);
  }
  Result<OffsetCheckpoint> read_vouched(std::string_view name, const std::string& way_out);
  Status write_vouched(std::string_view name, const OffsetCheckpoint& offsets);
  Status vouch(std::string_view name, std::vector<Checksum> sums) REQUIRES(checkpoint_mutex);
};

Result<OffsetCheckpoint> LogDir::State::read_vouched(std::string_view name,
                                                     const std::string& way_out) {
  const std::string checkpoint = file(name);
  MutexLock guard(checkpoint_mutex);
  BARNABAS_ASSIGN(vouched[name], read_vouched_content(checkpoint, way_out));
  return read_offset_checkpoint(checkpoint);
}

Status LogDir::State::write_vouched(std::string_view name, const OffsetCheckpoint& offsets) {
  const std::string text = offset_checkpoint_text(offsets);
  const Checksum next = checksum_of(as_bytes(text));
  MutexLock guard(checkpoint_mutex);
  if (!vouched.contains(name)) {
    // Not believed when it was read, or never read: whatever there is comes before.
    const auto content = read_small_file(file(name));
    vouched[name].content = content.ok() ? checksum_of(*content) : Checksum();
  }
  if (vouched[name].content != next) BARNABAS_TRY(vouch(name, {vouched[name].content, next}));
  BARNABAS_TRY(replace(file(name), text));
  vouched[name].content = next;
  // The old content is wrong from here on: one bit may be all that it differs in.
  return vouch(name, {next});
}

Status LogDir::State::vouch(std::string_view name, std::vector<Checksum> sums) {
  VouchedContent& known = vouched[name];
  if (known.saved == sums) return {};
  known.saved.clear();
  BARNABAS_TRY(replace(file(name) + std::string(suffix::kChecksum), checksum_text(sums)));
  known.saved = std::move(sums);
  return {};
}

LogDir::LogDir(std::unique_ptr<State> state) : state_(std::move(state)) {}
LogDir::~LogDir() = default;

Result<std::unique_ptr<LogDir>> LogDir::open(const std::string& path,
                                             const LogDirIdentity& identity_if_new) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) return directory_error(path, "cannot be created: " + error.message(), error.value());
  auto state = std::make_unique<State>();
  state->path = path;
  const std::string meta_path = state->file(kMetaPropertiesName);
  const bool is_new = LogDir::is_new(path);
  // Before the lock: a directory that is not ours is not to get a lock file from us.
  if (is_new) BARNABAS_TRY(check_may_become_ours(path));
  BARNABAS_ASSIGN(state->lock, lock_directory(path));
  if (is_new) {
    state->identity = identity_if_new;
    if (state->identity.directory_id.empty()) state->identity.directory_id = random_directory_id();
    BARNABAS_TRY(write_identity(meta_path, state->identity, Durability::kNow));
  } else {
    BARNABAS_ASSIGN(const std::vector<uint8_t> content, read_small_file(meta_path));
    BARNABAS_ASSIGN(state->identity, parse_identity(meta_path, as_text(content)));
    if (state->identity.node_id != identity_if_new.node_id) {
      return directory_error(path, "belongs to node " + std::to_string(state->identity.node_id) +
                                       ", not to node " + std::to_string(identity_if_new.node_id));
    }
  }
  state->was_clean = ::access(state->file(kCleanShutdownName).c_str(), F_OK) == 0;
  return std::unique_ptr<LogDir>(new LogDir(std::move(state)));
}

bool LogDir::is_new(const std::string& path) {
  const std::string meta_path = path + "/" + std::string(kMetaPropertiesName);
  return ::access(meta_path.c_str(), F_OK) != 0 && errno == ENOENT;
}

std::optional<LogDirIdentity> LogDir::identity_of(const std::string& path) {
  const std::string meta_path = path + "/" + std::string(kMetaPropertiesName);
  const auto content = read_small_file(meta_path);
  if (!content.ok()) return std::nullopt;
  auto identity = parse_identity(meta_path, as_text(*content));
  if (!identity.ok()) return std::nullopt;
  return std::move(identity).value();
}

Status LogDir::complete(const std::string& path, const LogDirIdentity& identity,
                        const LogDirOffsets& offsets, Durability durability) {
  const auto file = [&path](std::string_view name) { return path + "/" + std::string(name); };
  const std::pair<std::string_view, const OffsetCheckpoint*> checkpoints[] = {
      {kRecoveryPointName, &offsets.recovery_points},
      {kLogStartCheckpointName, &offsets.log_start_offsets},
      {kHighWatermarkName, &offsets.high_watermarks},
      {kCleanedCheckpointName, &offsets.cleaned_offsets}};
  for (const auto& [name, checkpoint] : checkpoints) {
    BARNABAS_TRY(write_offset_checkpoint(file(name), *checkpoint, Durability::kLater));
    if (name == kHighWatermarkName) continue;
    const Checksum sum = checksum_of(as_bytes(offset_checkpoint_text(*checkpoint)));
    BARNABAS_TRY(write_checksums(file(name), {sum}, Durability::kLater));
  }
  BARNABAS_TRY(write_identity(file(kMetaPropertiesName), identity, Durability::kLater));
  if (durability == Durability::kNow) BARNABAS_TRY(sync_everything(path));
  return replace_file(file(kCleanShutdownName), as_bytes(kCleanShutdownContent), durability);
}

const std::string& LogDir::path() const { return state_->path; }
const LogDirIdentity& LogDir::identity() const { return state_->identity; }
bool LogDir::was_clean() const { return state_->was_clean; }

Result<OffsetCheckpoint> LogDir::recovery_points() const {
  return state_->read_vouched(kRecoveryPointName, "");
}
Result<OffsetCheckpoint> LogDir::log_start_offsets() const {
  return state_->read_vouched(
      kLogStartCheckpointName,
      ". Put back the two files as they were, or remove both: then logs begin where their first "
      "segments do, and records below a DeleteRecords may be readable until they are deleted anew");
}
Result<OffsetCheckpoint> LogDir::high_watermarks() const {
  return read_offset_checkpoint(state_->file(kHighWatermarkName));
}
Result<OffsetCheckpoint> LogDir::cleaned_offsets() const {
  return state_->read_vouched(kCleanedCheckpointName, "");
}
Result<OffsetLists> LogDir::last_aborts() const {
  OffsetLists offsets;
  const auto take = [&](const TopicPartition& partition, int64_t offset) {
    offsets[partition].push_back(offset);
  };
  BARNABAS_TRY(read_offset_lines(state_->file(kLastAbortsName), take));
  for (auto& [partition, list] : offsets) std::sort(list.begin(), list.end());
  return offsets;
}
Status LogDir::write_recovery_points(const OffsetCheckpoint& offsets) {
  return state_->write_vouched(kRecoveryPointName, offsets);
}
Status LogDir::write_log_start_offsets(const OffsetCheckpoint& offsets) {
  return state_->write_vouched(kLogStartCheckpointName, offsets);
}
Status LogDir::write_high_watermarks(const OffsetCheckpoint& offsets) {
  return state_->write(kHighWatermarkName, offsets);
}
Status LogDir::write_cleaned_offsets(const OffsetCheckpoint& offsets) {
  return state_->write_vouched(kCleanedCheckpointName, offsets);
}

Status LogDir::write_last_aborts(const OffsetLists& offsets) {
  std::vector<std::string> lines;
  for (const auto& [partition, list] : offsets) {
    for (const int64_t offset : list) lines.push_back(offset_line(partition, offset));
  }
  MutexLock guard(state_->checkpoint_mutex);
  return state_->replace(state_->file(kLastAbortsName), checkpoint_text(lines));
}

Status LogDir::mark_in_use() {
  const std::string path = state_->file(kCleanShutdownName);
  if (file_system().unlink(path.c_str()) != 0) {
    return errno == ENOENT ? Status() : system_error(path);
  }
  // Durable before the first write: a power cut from now on must not look like a clean stop.
  return sync_directory(state_->path);
}

Status LogDir::mark_clean() {
  // One syncfs instead of an fsync for each index, snapshot and epoch file of every partition.
  BARNABAS_TRY(state_->noted(synced(sync_everything(state_->path))));
  return state_->noted(
      replace_synced(state_->file(kCleanShutdownName), as_bytes(kCleanShutdownContent)));
}

bool LogDir::sync_failed() const { return state_->sync_failed.load(); }

void LogDir::release_lock() {
  MutexLock lock(state_->checkpoint_mutex);
  if (!state_->lock.valid()) return;
  struct flock whole_file {};  // a forked child keeps the descriptor, and with it the lock
  whole_file.l_type = F_UNLCK;
  whole_file.l_whence = SEEK_SET;
  (void)::fcntl(state_->lock.get(), F_OFD_SETLK, &whole_file);
  state_->lock.reset();
}

Result<std::vector<TopicPartition>> LogDir::list_partitions() const {
  std::vector<TopicPartition> partitions;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(state_->path, error)) {
    auto partition = TopicPartition::parse(entry.path().filename().string());
    if (partition && entry.is_directory(error)) partitions.push_back(*std::move(partition));
  }
  if (error) return directory_error(state_->path, "cannot be listed: " + error.message());
  return partitions;
}

Result<std::vector<std::pair<TopicPartition, std::string>>> LogDir::list_futures() const {
  std::vector<std::pair<TopicPartition, std::string>> futures;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(state_->path, error)) {
    auto partition = parse_unique_name(entry.path().filename().string(), kFutureSuffix);
    if (partition && entry.is_directory(error)) {
      futures.emplace_back(*std::move(partition), entry.path().string());
    }
  }
  if (error) return directory_error(state_->path, "cannot be listed: " + error.message());
  return futures;
}

Status LogDir::remove_deleted() {
  std::vector<fs::path> doomed;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(state_->path, error)) {
    const std::string name = entry.path().filename().string();
    if (name.ends_with(kDeleteSuffix) && entry.is_directory(error)) doomed.push_back(entry.path());
  }
  if (error) return directory_error(state_->path, "cannot be listed: " + error.message());
  for (const fs::path& path : doomed) BARNABAS_TRY(remove_tree(path.string()));
  return {};
}

}  // namespace barnabas::storage
