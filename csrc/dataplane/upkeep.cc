#include "dataplane/upkeep.h"

#include <algorithm>
#include <chrono>

#include "base/logger.h"

namespace barnabas::dataplane {
namespace {

// How late flush.ms and file.delete.delay.ms may be noticed, and new configuration taken up.
constexpr int64_t kRoundMs = 1000;
// How long at least what was appended is taken for resident.
constexpr int64_t kAgeRecentTailsMs = 30'000;

}  // namespace

Upkeep::Upkeep(const PartitionTable& table, LogDirectories& directories, Flusher& flusher,
               Clock& clock, const EngineConfig& config)
    : table_(table),
      directories_(directories),
      flusher_(flusher),
      clock_(clock),
      cleaner_(table, directories, clock, config),
      scrubber_(table, directories.count(), clock, config.scrubber),
      config_(config),
      rounds_given_(directories.count()) {}

Upkeep::~Upkeep() { stop(); }

void Upkeep::start() {
  threads_.start("bnb-upkeep", directories_.count(), [this](size_t directory) { run(directory); });
  cleaner_.start();
  scrubber_.start();
}

void Upkeep::stop() {
  cleaner_.stop();
  scrubber_.stop();
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  threads_.join();
}

void Upkeep::set_config(const EngineConfig& config) {
  cleaner_.set_config(config.cleaner);
  scrubber_.set_config(config.scrubber);
  MutexLock lock(mutex_);
  config_ = config;
}

void Upkeep::run(size_t directory) {
  int64_t checkpointed_ms = clock_.monotonic_ms();
  int64_t maintained_ms = checkpointed_ms;
  int64_t aged_ms = checkpointed_ms;
  uint64_t asked = 0;
  uint64_t given = 0;
  SeenLogs seen;
  while (const auto config = wait_for_round(directory, asked)) {
    if (directories_.online(directory)) {
      PartitionStore& store = directories_.store(directory);
      const int64_t now_ms = clock_.monotonic_ms();
      flush_overdue(directory, seen);
      store.remove_due();
      for (const auto& partition : partitions_in(directory)) {
        partition->log()->remove_due_files();
        partition->log()->rebuild_transactions();
      }
      if (now_ms - aged_ms >= kAgeRecentTailsMs) {
        for (const auto& partition : partitions_in(directory)) partition->age_recent_tail();
        aged_ms = now_ms;
      }
      if (asked > given || now_ms - maintained_ms >= config->maintenance_interval_ms) {
        for (const auto& partition : partitions_in(directory)) {
          partition->log()->maintain(partition->high_watermark());
        }
        maintained_ms = now_ms;
      }
      if (now_ms - checkpointed_ms >= config->checkpoint_interval_ms) {
        if (const Status status = store.write_checkpoints(table_); !status.ok()) {
          log(LogLevel::kError, "upkeep", status.error().message);
        }
        checkpointed_ms = now_ms;
      }
    }
    given = asked;
    end_round(directory, given);
  }
}

std::optional<EngineConfig> Upkeep::wait_for_round(size_t directory, uint64_t& asked) {
  MutexLock lock(mutex_);
  if (!stopping_ && rounds_asked_ == rounds_given_[directory]) {
    changed_.wait_for(mutex_, std::chrono::milliseconds(kRoundMs));
  }
  if (stopping_) return std::nullopt;
  asked = rounds_asked_;
  return config_;
}

void Upkeep::end_round(size_t directory, uint64_t asked) {
  MutexLock lock(mutex_);
  if (rounds_given_[directory] == asked) return;
  rounds_given_[directory] = asked;
  changed_.notify_all();
}

void Upkeep::run_due() {
  {
    MutexLock lock(mutex_);
    const uint64_t round = ++rounds_asked_;
    changed_.notify_all();
    while (!stopping_ && *std::min_element(rounds_given_.begin(), rounds_given_.end()) < round) {
      changed_.wait(mutex_);
    }
  }
  cleaner_.run_due();
}

void Upkeep::flush_overdue(size_t directory, SeenLogs& seen) {
  const int64_t now_ms = clock_.monotonic_ms();
  SeenLogs seen_now;
  table_.for_each([&](const Topic& topic, const std::shared_ptr<Partition>& partition) {
    if (!partition->is_served_in(directory)) return;
    const storage::Log& log = *partition->log();
    Seen now;
    if (const auto before = seen.find(partition.get()); before != seen.end()) {
      now = before->second;
    } else {
      now.segment_count = log.segment_count();
    }
    const int64_t flushed_offset = log.recovery_point();
    if (flushed_offset >= log.log_end_offset()) {
      now.dirty_since_ms = -1;
    } else if (now.dirty_since_ms < 0 || flushed_offset != now.flushed_offset) {
      now.dirty_since_ms = now_ms;
    }
    now.flushed_offset = flushed_offset;
    const size_t segment_count = log.segment_count();
    const bool rolled = segment_count > now.segment_count;
    now.segment_count = segment_count;
    const bool overdue = now.dirty_since_ms >= 0 && topic.config.flush_ms != INT64_MAX &&
                         now_ms - now.dirty_since_ms >= topic.config.flush_ms;
    if (rolled || overdue || partition->awaits_flush()) flusher_.request(partition);
    seen_now.emplace(partition.get(), now);
  });
  seen.swap(seen_now);
}

Upkeep::Partitions Upkeep::partitions_in(size_t directory) const {
  Partitions partitions = table_.partitions();
  std::erase_if(partitions,
                [directory](const auto& partition) { return !partition->is_served_in(directory); });
  return partitions;
}

}  // namespace barnabas::dataplane
