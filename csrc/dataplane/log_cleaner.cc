#include "dataplane/log_cleaner.h"

#include <algorithm>
#include <chrono>
#include <map>

#include "base/logger.h"
#include "storage/cleaner.h"

namespace barnabas::dataplane {
namespace {

/// Whether another try may go well: what the system refuses now it may do later. (After a failed
/// fsync the directory is offline, and nothing is tried there.)
bool may_pass(const Error& error) {
  return error.sys_errno != 0 || error.code == ErrorCode::kRequestTimedOut;
}

size_t cleaners_wanted(const CleanerConfig& config, const LogDirectories& directories) {
  if (!config.enabled || config.threads == 0) return 0;
  return std::max(static_cast<size_t>(config.threads), directories.count());
}

}  // namespace

LogCleaner::LogCleaner(const PartitionTable& table, LogDirectories& directories, Clock& clock,
                       const EngineConfig& config)
    : table_(table),
      directories_(directories),
      threads_wanted_(cleaners_wanted(config.cleaner, directories)),
      most_in_one_directory_(threads_wanted_ + 1 - std::min(threads_wanted_, directories.count())),
      rate_(config.cleaner.io_max_bytes_per_second, clock),
      config_(config.cleaner) {}

LogCleaner::~LogCleaner() { stop(); }

void LogCleaner::start() {
  threads_.start("bnb-cleaner", threads_wanted_, [this](size_t) { run(); });
}

void LogCleaner::stop() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  rate_.stop();
  threads_.join();
}

void LogCleaner::set_config(const CleanerConfig& config) {
  rate_.set_limit(config.io_max_bytes_per_second);
  MutexLock lock(mutex_);
  // What did not fit may fit now.
  if (config.dedupe_buffer_bytes != config_.dedupe_buffer_bytes) uncleanable_.clear();
  config_ = config;
  changed_.notify_all();
}

void LogCleaner::run() {
  while (true) {
    uint64_t asked = 0;
    {
      MutexLock lock(mutex_);
      asked = looks_asked_;
    }
    const auto [filthiest, held_back] = take_filthiest();
    const bool cleaned = filthiest != nullptr && clean(filthiest);
    MutexLock lock(mutex_);
    in_progress_.erase(filthiest);
    // Those who have the directory look again, and see to what is left.
    if (!cleaned && !held_back) looks_given_ = std::max(looks_given_, asked);
    if (looks_asked_ > 0) changed_.notify_all();
    if (!stopping_ && (held_back || (!cleaned && looks_given_ >= looks_asked_))) {
      changed_.wait_for(mutex_, std::chrono::milliseconds(config_.backoff_ms));
    }
    if (stopping_) return;
  }
}

void LogCleaner::run_due() {
  MutexLock lock(mutex_);
  if (threads_.empty()) return;
  const uint64_t look = ++looks_asked_;
  changed_.notify_all();
  while (!stopping_ && (looks_given_ < look || !in_progress_.empty())) changed_.wait(mutex_);
}

LogCleaner::Look LogCleaner::take_filthiest() {
  const auto partitions = table_.partitions();
  MutexLock lock(mutex_);
  std::erase_if(passed_over_, [](const auto& partition) { return partition.expired(); });
  std::erase_if(uncleanable_, [](const auto& given_up) {
    const PartitionPtr partition = given_up.first.lock();
    return partition == nullptr || partition->log_start_offset() > given_up.second;
  });
  std::map<size_t, size_t> busy;  // threads, by directory
  for (const PartitionPtr& partition : in_progress_) ++busy[partition->directory()];
  Look look;
  double largest_ratio = -1;
  for (const PartitionPtr& partition : partitions) {
    if (partition->availability() != ErrorCode::kNone) continue;
    if (in_progress_.contains(partition) || uncleanable_.contains(partition) ||
        passed_over_.contains(partition)) {
      continue;
    }
    const auto found = partition->log()->cleanable(partition->last_stable_offset());
    if (!found.due || found.dirty_ratio() <= largest_ratio) continue;
    if (busy[partition->directory()] >= most_in_one_directory_) {
      look.held_back = true;
      continue;
    }
    look.filthiest = partition;
    largest_ratio = found.dirty_ratio();
  }
  if (look.filthiest != nullptr) {
    look.held_back = false;
    in_progress_.insert(look.filthiest);
  } else if (!look.held_back) {
    passed_over_.clear();
  }
  return look;
}

bool LogCleaner::clean(const PartitionPtr& partition) {
  storage::CleanSettings settings;
  {
    MutexLock lock(mutex_);
    const size_t threads = std::max(threads_wanted_, size_t{1});
    settings.dedupe_buffer_bytes = static_cast<size_t>(config_.dedupe_buffer_bytes) / threads;
    settings.dedupe_load_factor = config_.dedupe_load_factor;
    settings.io_buffer_bytes = static_cast<size_t>(config_.io_buffer_bytes) / threads / 2;
  }
  settings.pace = [this, &partition](uint64_t bytes) {
    return !partition->deleted() && rate_.spend(bytes);
  };
  settings.before_swaps = [this, &partition] {
    return directories_.store(partition->directory()).write_checkpoints(table_);
  };
  const int64_t before = partition->log()->cleaned_offset();
  const auto cleaned = partition->log()->clean(partition->last_stable_offset(), settings);
  const std::string name = partition->to_string();
  if (!cleaned.ok()) {
    // Some of its segments may have been compacted before that.
    if (partition->log()->cleaned_offset() > before) write_checkpoints(*partition);
    const Error& error = cleaned.error();
    if (partition->deleted()) return false;
    if (!may_pass(error)) {
      give_up(partition, error.message);
      return false;
    }
    if (error.code != ErrorCode::kRequestTimedOut) {
      log(LogLevel::kError, "cleaner", name + " is not compacted for now: " + error.message);
    }
    MutexLock lock(mutex_);
    passed_over_.insert(partition);
    return false;
  }
  if (cleaned->segments_before == 0) {
    // Without a key in the map there was nothing to be compacted, after all.
    if (cleaned->keys > 0) {
      give_up(partition, "not even one batch's keys fit into " +
                             std::to_string(settings.dedupe_buffer_bytes) +
                             " bytes, log.cleaner.dedupe.buffer.size");
    }
    return false;
  }
  log(LogLevel::kInfo, "cleaner",
      name + ": " + std::to_string(cleaned->segments_before) + " segments compacted into " +
          std::to_string(cleaned->segments_after) + ", " + std::to_string(cleaned->bytes_read) +
          " bytes into " + std::to_string(cleaned->bytes_kept) + ", clean up to offset " +
          std::to_string(cleaned->end_offset) + "; " + std::to_string(cleaned->keys) +
          " keys took " + std::to_string(cleaned->map_bytes) + " bytes");
  write_checkpoints(*partition);
  return true;
}

void LogCleaner::give_up(const PartitionPtr& partition, const std::string& why) {
  log(LogLevel::kError, "cleaner", partition->to_string() + " is not compacted any more: " + why);
  MutexLock lock(mutex_);
  uncleanable_.emplace(partition, partition->log_start_offset());
}

void LogCleaner::write_checkpoints(const Partition& partition) {
  const size_t directory = partition.directory();
  if (!directories_.online(directory)) return;
  const Status written = directories_.store(directory).write_checkpoints(table_);
  if (!written.ok()) {
    log(LogLevel::kError, "cleaner", written.error().message);
  }
}

}  // namespace barnabas::dataplane
