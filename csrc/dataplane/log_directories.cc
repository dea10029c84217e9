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

/// Whether a partition's directory, or a copy's, may be this topic's: nullopt when it does not say.
std::optional<bool> is_of(const Uuid& topic_id, const std::string& directory) {
  const auto id = storage::read_partition_metadata(directory);
  if (!id) return std::nullopt;
  return *id == topic_id;
}

/// The directories of deleted topics.
class Doomed {
 public:
  explicit Doomed(std::span<const DeletedTopic> topics) {
    for (const DeletedTopic& topic : topics) topics_.emplace(topic.name, &topic);
  }

  void add(PartitionStore& store, const storage::TopicPartition& name, std::string path) {
    const auto [begin, end] = topics_.equal_range(name.topic);
    for (auto it = begin; it != end; ++it) {
      const DeletedTopic& topic = *it->second;
      // What does not say whose it is may be of a topic that was made anew under the name.
      const bool may_be = !topic.has_namesake && name.partition < topic.partition_count;
      if (!is_of(topic.id, path).value_or(may_be)) continue;
      found_.push_back({&store, name, std::move(path), topic.id});
      return;
    }
  }

  void remove_all(std::vector<DeletionFailure>& failures) {
    for (const Found& found : std::exchange(found_, {})) {
      const Status removed = found.store->remove_directory(found.name, found.path);
      if (!removed.ok()) failures.push_back({found.topic_id, removed.error().message});
    }
  }

 private:
  struct Found {
    PartitionStore* store;
    storage::TopicPartition name;
    std::string path;
    Uuid topic_id;
  };
  std::multimap<std::string, const DeletedTopic*> topics_;
  std::vector<Found> found_;
};

}  // namespace

LogDirectories::LogDirectories(std::vector<Slot> slots, size_t max_open_files, Clock& clock)
    : fds_(max_open_files),
      slots_(std::move(slots)),
      settled_(slots_.size()),
      clock_(clock),
      coming_(slots_.size()),
      work_(slots_.size()) {}

Result<std::unique_ptr<LogDirectories>> LogDirectories::open(const std::vector<std::string>& paths,
                                                             const std::string& cluster_id,
                                                             int32_t node_id, Clock& clock) {
  if (paths.empty()) return storage_error("there is no log directory");
  std::vector<Slot> slots;
  slots.reserve(paths.size());
  for (const std::string& path : paths) slots.push_back({path, "", nullptr});
  std::unique_ptr<LogDirectories> opened(
      new LogDirectories(std::move(slots), open_file_budget(), clock));
  BARNABAS_TRY(opened->open_slots(cluster_id, node_id));
  return opened;
}

Status LogDirectories::open_slots(const std::string& cluster_id, int32_t node_id) {
  identity_ = {cluster_id, node_id, ""};
  std::map<std::string, std::string> paths_by_id;
  bool known = false;
  for (const Slot& slot : slots_) {
    const auto found = storage::LogDir::identity_of(slot.path);
    if (!found) continue;
    if (!known) identity_.cluster_id = found->cluster_id;
    known = true;
    if (found->cluster_id != identity_.cluster_id) {
      return storage_error("data directory " + slot.path + " is of cluster " + found->cluster_id +
                           ", the others are of " + identity_.cluster_id);
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
  BARNABAS_TRY(open_slot(0));
  for (size_t number = 1; number < slots_.size(); ++number) {
    if (!storage::LogDir::is_new(slots_[number].path)) (void)open_slot(number).ok();
  }
  return {};
}

Status LogDirectories::open_slot(size_t number) {
  Slot& slot = slots_[number];
  auto store = PartitionStore::open(slot.path, number, identity_, fds_, clock_);
  if (!store.ok()) {
    slot.error = store.error().message;
    return std::move(store).error();
  }
  slot.store = std::move(store).value();
  return {};
}

void LogDirectories::make_new(const std::vector<MissingDirectory>& missing) {
  for (const MissingDirectory& directory : missing) {
    const auto number = find(directory.path);
    if (!number) {
      slots_.push_back({directory.path, directory.error, nullptr});
    } else if (is_new(*number)) {
      slots_[*number].error = directory.error;
    }
  }
  for (size_t number = 0; number < slots_.size(); ++number) {
    if (is_new(number)) (void)open_slot(number).ok();
  }
  settled_.resize(slots_.size());
  MutexLock lock(mutex_);
  coming_.resize(slots_.size());
  work_.resize(slots_.size());
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

Result<std::vector<PartitionPlace>> LogDirectories::list_partitions() const {
  std::vector<PartitionPlace> places;
  BARNABAS_TRY(each([&](const PartitionStore& store) -> Status {
    auto listed = store.directory().list_partitions();
    if (!listed.ok()) {
      // As if it could not have been opened: begin() takes it offline.
      return slots_.size() == 1 ? Status(listed.error()) : Status();
    }
    for (auto& name : *listed) places.push_back({std::move(name), store.path(), std::nullopt});
    return {};
  }));
  std::stable_sort(places.begin(), places.end(),
                   [](const auto& a, const auto& b) { return a.name < b.name; });
  const auto read_id = [](PartitionPlace& place) {
    place.topic_id =
        storage::read_partition_metadata(place.log_directory + "/" + place.name.to_string());
  };
  for (size_t i = 0; i < places.size(); ++i) {
    const bool follows = i > 0 && places[i - 1].name == places[i].name;
    const bool leads = i + 1 < places.size() && places[i + 1].name == places[i].name;
    if (follows || leads) read_id(places[i]);
  }
  return places;
}

Status LogDirectories::offline_unless(PartitionStore& store, Status looked) {
  if (looked.ok() || store.number() == 0) return looked;
  log(LogLevel::kError, "store", looked.error().message + ": the log directory is offline");
  store.fail();
  return {};
}

Result<std::vector<DeletionFailure>> LogDirectories::finish_deletions(
    std::span<const DeletedTopic> topics) {
  std::vector<DeletionFailure> failures;
  if (topics.empty()) return failures;
  Doomed doomed(topics);
  // Copies first: alone one would be taken for whole at the next start.
  BARNABAS_TRY(each([&](PartitionStore& store) -> Status {
    auto futures = store.directory().list_futures();
    if (!futures.ok()) return offline_unless(store, std::move(futures).error());
    for (auto& [name, path] : *futures) doomed.add(store, name, std::move(path));
    return {};
  }));
  doomed.remove_all(failures);
  BARNABAS_TRY(each([&](PartitionStore& store) -> Status {
    const auto names = store.directory().list_partitions();
    if (!names.ok()) return offline_unless(store, names.error());
    for (const auto& name : *names) doomed.add(store, name, store.path_of(name));
    return {};
  }));
  doomed.remove_all(failures);
  return failures;
}

Status LogDirectories::begin() {
  return each([&](PartitionStore& store) -> Status {
    const auto look = [&]() -> Status {
      BARNABAS_TRY(store.begin());
      BARNABAS_ASSIGN(auto names, store.directory().list_partitions());
      BARNABAS_ASSIGN(auto futures, store.directory().list_futures());
      settled_[store.number()] = names.size() + futures.size();
      for (auto& name : names) homes_[std::move(name)].push_back(store.number());
      for (auto& [name, path] : futures) {
        futures_[std::move(name)].push_back({store.number(), std::move(path)});
      }
      return {};
    };
    return offline_unless(store, look());
  });
}

Result<size_t> LogDirectories::settle(const storage::TopicPartition& name, const Uuid& topic_id) {
  if (const auto found = homes_.find(name); found != homes_.end()) {
    return home_of(name, topic_id, found->second);
  }
  if (!all_online()) {
    return storage_error(name.to_string() + " is in none of the log directories that are online");
  }
  BARNABAS_ASSIGN(const size_t whole_copy, promote(name, topic_id));
  size_t directory = whole_copy;
  if (directory == Partition::kNoDirectory) {
    directory = by_count(settled_).front();
    ++settled_[directory];
  }
  homes_[name] = {directory};
  return directory;
}

size_t LogDirectories::home_of(const storage::TopicPartition& name, const Uuid& topic_id,
                               const std::vector<size_t>& places) const {
  if (places.size() == 1) return places.front();
  size_t home = places.front();
  bool may_be = false;
  for (const size_t place : places) {
    const auto is_its = is_of(topic_id, store(place).path_of(name));
    if (is_its.value_or(false)) return place;
    if (!is_its && !std::exchange(may_be, true)) home = place;
  }
  return home;
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

LogDirectories::AtWork::AtWork(LogDirectories& directories, size_t directory)
    : directories_(directories), directory_(directory) {
  MutexLock lock(directories_.mutex_);
  since_ = directories_.work_[directory_].insert(directories_.clock_.monotonic_ns());
}

LogDirectories::AtWork::~AtWork() {
  MutexLock lock(directories_.mutex_);
  directories_.work_[directory_].erase(since_);
}

bool LogDirectories::is_stuck(size_t directory) const {
  const auto& work = work_[directory];
  return !work.empty() && *work.begin() + kPatienceNs < clock_.monotonic_ns();
}

Result<size_t> LogDirectories::place(const storage::TopicPartition& name, Counts counts,
                                     const std::vector<size_t>& refused) {
  MutexLock lock(mutex_);
  for (size_t number = 0; number < counts.size(); ++number) counts[number] += coming_[number];
  std::vector<size_t> candidates = by_count(counts);
  std::erase_if(candidates, [&](size_t number) {
    return std::find(refused.begin(), refused.end(), number) != refused.end();
  });
  if (candidates.empty()) return storage_error("every log directory is offline");
  std::stable_partition(candidates.begin(), candidates.end(),
                        [this](size_t number) REQUIRES(mutex_) { return !is_stuck(number); });
  size_t directory = candidates.front();
  if (const auto preferred = preferred_.find(name); preferred != preferred_.end()) {
    const auto at = std::find(candidates.begin(), candidates.end(), preferred->second);
    if (at != candidates.end()) directory = *at;
  }
  ++coming_[directory];
  return directory;
}

void LogDirectories::end_placing(size_t directory) {
  MutexLock lock(mutex_);
  --coming_[directory];
}

void LogDirectories::end_preferring(const std::string& topic,
                                    const std::vector<int32_t>& partitions) {
  MutexLock lock(mutex_);
  for (const int32_t partition : partitions) preferred_.erase({topic, partition});
}

void LogDirectories::prefer(const storage::TopicPartition& name, size_t directory) {
  MutexLock lock(mutex_);
  preferred_[name] = directory;
}

Result<std::string> LogDirectories::set_aside(const std::string& path,
                                              const storage::TopicPartition& name) {
  const auto number = find(path);
  if (!number || !online(*number)) return storage_error(path + " is no log directory, or offline");
  return store(*number).set_aside(name);
}

Status LogDirectories::remove(const storage::TopicPartition& name, const Uuid& topic_id) {
  return each([&](PartitionStore& store) -> Status {
    const auto remove_if_its = [&](const std::string& path) -> Status {
      return is_of(topic_id, path).value_or(true) ? store.remove_directory(name, path) : Status();
    };
    // A copy first: alone it would be taken for whole at the next start.
    BARNABAS_ASSIGN(const auto futures, store.directory().list_futures());
    for (const auto& [of, path] : futures) {
      if (of == name) BARNABAS_TRY(remove_if_its(path));
    }
    return store.has(name) ? remove_if_its(store.path_of(name)) : Status();
  });
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
  fds_.close();
}

}  // namespace barnabas::dataplane
