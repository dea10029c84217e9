#include "dataplane/log_directories.h"

#include <sys/resource.h>

#include <algorithm>
#include <system_error>

#include "base/fd.h"
#include "base/logger.h"
#include "dataplane/disk_pool.h"
#include "storage/partition_metadata.h"

namespace barnabas::dataplane {
namespace {

constexpr size_t kMinOpenFiles = 64;

// Half of what the process may open; the rest is for connections and everything else.
size_t open_file_budget() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return kMinOpenFiles;
  if (limit.rlim_cur < limit.rlim_max) {
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0) (void)getrlimit(RLIMIT_NOFILE, &limit);
  }
  return std::max<size_t>(kMinOpenFiles, limit.rlim_cur / 2);
}

Error storage_error(const std::string& why) { return {ErrorCode::kKafkaStorageError, why, 0}; }

void discard(std::unique_ptr<storage::Log> log) {
  Status status = log->mark_deleted();
  const std::string path = log->directory();
  log.reset();
  if (status.ok()) status = remove_tree(path);
  if (!status.ok()) barnabas::log(LogLevel::kWarning, "store", status.error().message);
}

}  // namespace

LogDirectories::LogDirectories(std::vector<Slot> slots, size_t max_open_files)
    : fds_(max_open_files), slots_(std::move(slots)), settled_(slots_.size()) {}

Result<std::unique_ptr<LogDirectories>> LogDirectories::open(const std::vector<std::string>& paths,
                                                             const std::string& cluster_id,
                                                             int32_t node_id, Clock& clock) {
  if (paths.empty()) return storage_error("there is no log directory");
  std::vector<Slot> slots;
  slots.reserve(paths.size());
  for (const std::string& path : paths) slots.push_back({path, "", nullptr});
  std::unique_ptr<LogDirectories> opened(new LogDirectories(std::move(slots), open_file_budget()));
  BARNABAS_TRY(opened->open_slots(cluster_id, node_id, clock));
  return opened;
}

Status LogDirectories::open_slots(const std::string& cluster_id, int32_t node_id, Clock& clock) {
  storage::LogDirIdentity identity{cluster_id, node_id, ""};
  std::map<std::string, std::string> paths_by_id;
  bool known = false;
  for (const Slot& slot : slots_) {
    const auto found = storage::LogDir::identity_of(slot.path);
    if (!found) continue;
    if (!known) identity.cluster_id = found->cluster_id;
    known = true;
    if (found->cluster_id != identity.cluster_id) {
      return storage_error("data directory " + slot.path + " is of cluster " + found->cluster_id +
                           ", the others are of " + identity.cluster_id);
    }
    if (found->node_id != node_id) {
      return storage_error("data directory " + slot.path + ": belongs to node " +
                           std::to_string(found->node_id) + ", not to node " +
                           std::to_string(node_id));
    }
    const auto [other, is_new] = paths_by_id.emplace(found->directory_id, slot.path);
    if (!is_new && !found->directory_id.empty()) {
      return storage_error("data directories " + other->second + " and " + slot.path +
                           " have the same directory.id " + found->directory_id +
                           ": one is a copy of the other");
    }
  }
  for (size_t number = 0; number < slots_.size(); ++number) {
    Slot& slot = slots_[number];
    auto store = PartitionStore::open(slot.path, number, identity, fds_, clock);
    if (store.ok()) {
      slot.store = std::move(store).value();
    } else if (number == 0) {
      return std::move(store).error();
    } else {
      slot.error = store.error().message;
    }
  }
  return {};
}

std::optional<size_t> LogDirectories::find(const std::string& path) const {
  for (size_t number = 0; number < slots_.size(); ++number) {
    if (slots_[number].path == path) return number;
  }
  return std::nullopt;
}

bool LogDirectories::all_online() const {
  for (size_t number = 0; number < slots_.size(); ++number) {
    if (!online(number)) return false;
  }
  return true;
}

template <class Work>
Status LogDirectories::each(const Work& work) const {
  Status first;
  for (size_t number = 0; number < slots_.size(); ++number) {
    if (!online(number)) continue;
    Status status = work(store(number));
    if (!status.ok() && first.ok()) first = std::move(status);
  }
  return first;
}

Result<std::vector<storage::TopicPartition>> LogDirectories::list_partitions() const {
  std::map<storage::TopicPartition, size_t> homes;
  BARNABAS_TRY(each([&](const PartitionStore& store) -> Status {
    auto listed = store.directory().list_partitions();
    if (!listed.ok()) {
      // As if it could not have been opened: begin() takes it offline.
      return slots_.size() == 1 ? Status(listed.error()) : Status();
    }
    for (auto& name : *listed) {
      const auto [found, is_new] = homes.emplace(name, store.number());
      if (!is_new) {
        const std::string text = name.to_string();
        return storage_error("Duplicate log directories for " + text + " are found in both " +
                             path(found->second) + "/" + text + " and " + store.path() + "/" +
                             text +
                             ". Delete one of the two: that of the directory which is known "
                             "to have failed recently");
      }
    }
    return {};
  }));
  std::vector<storage::TopicPartition> names;
  names.reserve(homes.size());
  for (const auto& [name, directory] : homes) names.push_back(name);
  return names;
}

Status LogDirectories::begin() {
  return each([&](PartitionStore& store) -> Status {
    const auto look = [&]() -> Status {
      BARNABAS_TRY(store.begin());
      BARNABAS_ASSIGN(auto names, store.directory().list_partitions());
      BARNABAS_ASSIGN(auto futures, store.directory().list_futures());
      settled_[store.number()] = names.size() + futures.size();
      for (auto& name : names) homes_.emplace(std::move(name), store.number());
      for (auto& [name, path] : futures) {
        futures_[std::move(name)].push_back({store.number(), std::move(path)});
      }
      return {};
    };
    Status begun = look();
    if (begun.ok() || store.number() == 0) return begun;
    log(LogLevel::kError, "store", begun.error().message + ": the log directory is offline");
    store.fail();
    return {};
  });
}

Result<size_t> LogDirectories::settle(const storage::TopicPartition& name, const Uuid& topic_id) {
  if (const auto home = homes_.find(name); home != homes_.end()) return home->second;
  if (!all_online()) {
    return storage_error(name.to_string() + " is in none of the log directories that are online");
  }
  BARNABAS_ASSIGN(const size_t whole_copy, promote(name, topic_id));
  size_t directory = whole_copy;
  if (directory == Partition::kNoDirectory) {
    directory = by_count(settled_).front();
    ++settled_[directory];
  }
  homes_[name] = directory;
  return directory;
}

Result<size_t> LogDirectories::promote(const storage::TopicPartition& name, const Uuid& topic_id) {
  const auto found = futures_.find(name);
  if (found == futures_.end()) return Partition::kNoDirectory;
  std::vector<Future>& futures = found->second;
  std::erase_if(futures, [&](const Future& future) {
    const auto id = storage::read_partition_metadata(future.path);
    return id.has_value() && *id != topic_id;
  });
  if (futures.empty()) return Partition::kNoDirectory;
  const auto whole = std::find_if(futures.begin(), futures.end(), [&](const Future& future) {
    return store(future.directory).was_expecting(name);
  });
  if (whole == futures.end()) {
    return storage_error(name.to_string() + " is in none of the log directories, but " +
                         futures.front().path +
                         " is a copy of a part of it: what it was copied "
                         "from is to be put back, or the copy to be removed");
  }
  const Future future = *whole;
  BARNABAS_TRY(store(future.directory).promote(name, future.path));
  log(LogLevel::kWarning, "store",
      future.path + " takes the place of " + name.to_string() +
          ", whose move to this directory the last stop had cut short");
  futures.erase(whole);
  return future.directory;
}

std::vector<LogDirectories::Future> LogDirectories::take_futures(
    const storage::TopicPartition& name) {
  const auto found = futures_.find(name);
  if (found == futures_.end()) return {};
  std::vector<Future> taken = std::move(found->second);
  futures_.erase(found);
  return taken;
}

LogDirectories::Counts LogDirectories::counts(const PartitionTable& table) const {
  Counts counts(slots_.size());
  if (slots_.size() == 1) return counts;
  for (const auto& partition : table.partitions()) {
    const size_t directory = partition->directory();
    if (directory < counts.size()) ++counts[directory];
  }
  return counts;
}

std::vector<size_t> LogDirectories::by_count(const Counts& counts) const {
  std::vector<size_t> numbers;
  for (size_t number = 0; number < slots_.size(); ++number) {
    if (online(number)) numbers.push_back(number);
  }
  std::stable_sort(numbers.begin(), numbers.end(),
                   [&counts](size_t a, size_t b) { return counts[a] < counts[b]; });
  return numbers;
}

Result<LogDirectories::Created> LogDirectories::create_log(const storage::TopicPartition& name,
                                                           const Uuid& topic_id,
                                                           const storage::LogConfig& config,
                                                           const Counts& counts) {
  std::vector<size_t> candidates = by_count(counts);
  {
    MutexLock lock(mutex_);
    if (const auto preferred = preferred_.find(name); preferred != preferred_.end()) {
      const auto at = std::find(candidates.begin(), candidates.end(), preferred->second);
      if (at != candidates.end()) std::rotate(candidates.begin(), at, at + 1);
    }
  }
  Error error = storage_error("every log directory is offline");
  for (const size_t number : candidates) {
    auto log = store(number).create_log(name, topic_id, config);
    if (log.ok()) return Created{std::move(log).value(), number};
    error = std::move(log).error();
    barnabas::log(LogLevel::kWarning, "store",
                  name.to_string() + " cannot be made in " + path(number) + ": " + error.message);
    if (store(number).has(name)) break;
  }
  return error;
}

Result<std::vector<LogDirectories::Created>> LogDirectories::create_logs(
    const std::string& topic, const Uuid& topic_id, const std::vector<int32_t>& partitions,
    const storage::LogConfig& config, Counts counts) {
  std::vector<Created> created;
  Counts used(slots_.size());
  Status status;
  for (const int32_t partition : partitions) {
    auto made = create_log({topic, partition}, topic_id, config, counts);
    if (!made.ok()) {
      status = std::move(made).error();
      break;
    }
    ++counts[made->directory];
    ++used[made->directory];
    created.push_back(std::move(made).value());
  }
  for (size_t number = 0; number < used.size() && status.ok(); ++number) {
    if (used[number] > 0) status = store(number).sync_names();
  }
  if (!status.ok()) {
    for (Created& one : created) discard(std::move(one.log));
    return std::move(status).error();
  }
  MutexLock lock(mutex_);
  for (const int32_t partition : partitions) preferred_.erase({topic, partition});
  return created;
}

void LogDirectories::prefer(const storage::TopicPartition& name, size_t directory) {
  MutexLock lock(mutex_);
  preferred_[name] = directory;
}

Result<std::string> LogDirectories::set_aside(const storage::TopicPartition& name) {
  Error error = storage_error(name.to_string() + " is in none of the log directories");
  for (size_t number = 0; number < slots_.size(); ++number) {
    if (!online(number) || !store(number).has(name)) continue;
    auto kept_as = store(number).set_aside(name);
    if (kept_as.ok()) return kept_as;
    error = std::move(kept_as).error();
  }
  return error;
}

Status LogDirectories::remove(const storage::TopicPartition& name) {
  return each([&](PartitionStore& store) -> Status {
    // A copy first: alone it would be taken for whole at the next start.
    BARNABAS_ASSIGN(const auto futures, store.directory().list_futures());
    for (const auto& [of, path] : futures) {
      if (of == name) BARNABAS_TRY(store.remove_copy(name, path));
    }
    return store.has(name) ? store.remove(name) : Status();
  });
}

Status LogDirectories::forget(const std::string& topic, const std::vector<int32_t>& partitions,
                              const PartitionTable& table) {
  return each([&](PartitionStore& store) { return store.forget(topic, partitions, table); });
}

Status LogDirectories::close_all(const PartitionTable& table, int threads) {
  const auto partitions = table.partitions();
  Mutex mutex;
  std::vector<bool> clean(slots_.size(), true);
  Status first;
  const auto note = [&](size_t directory, Status status) {
    MutexLock lock(mutex);
    if (directory < clean.size()) clean[directory] = false;
    if (first.ok()) first = std::move(status);
  };
  parallel_for(threads, partitions.size(), [&](size_t i) {
    const Partition& partition = *partitions[i];
    if (partition.directory() == Partition::kNoDirectory) return;  // in one that is not there
    Status status;
    if (partition.log() == nullptr) {
      status = storage_error(partition.to_string() + " was not opened");
    } else {
      status = partition.log()->close();
    }
    if (status.ok()) return;
    log(LogLevel::kError, "store",
        "closing " + partition.to_string() + ": " + status.error().message);
    note(partition.directory(), std::move(status));
  });
  for (size_t number = 0; number < slots_.size(); ++number) {
    if (!online(number)) continue;
    Status written = store(number).write_checkpoints(table);
    if (written.ok() && clean[number]) written = store(number).mark_clean(table);
    if (!written.ok()) note(number, std::move(written));
  }
  return first;
}

void LogDirectories::release() {
  for (const Slot& slot : slots_) {
    if (slot.store != nullptr) slot.store->release();
  }
}

}  // namespace barnabas::dataplane
