#include "dataplane/upkeep.h"

#include <pthread.h>

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
      scrubber_(table, clock, config.scrubber),
      config_(config) {}

Upkeep::~Upkeep() { stop(); }

void Upkeep::start() {
  thread_ = std::thread([this] { run(); });
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
  if (thread_.joinable()) thread_.join();
}

void Upkeep::set_config(const EngineConfig& config) {
  cleaner_.set_config(config.cleaner);
  scrubber_.set_config(config.scrubber);
  MutexLock lock(mutex_);
  config_ = config;
}

void Upkeep::run() {
  pthread_setname_np(pthread_self(), "bnb-upkeep");
  int64_t checkpointed_ms = clock_.monotonic_ms();
  int64_t maintained_ms = checkpointed_ms;
  int64_t aged_ms = checkpointed_ms;
  uint64_t asked = 0;
  uint64_t given = 0;
  while (const auto config = wait_for_round(asked)) {
    const int64_t now_ms = clock_.monotonic_ms();
    flush_overdue();
    directories_.remove_due();
    remove_due_files();
    if (now_ms - aged_ms >= kAgeRecentTailsMs) {
      for (const auto& partition : table_.partitions()) partition->age_recent_tail();
      aged_ms = now_ms;
    }
    if (asked > given || now_ms - maintained_ms >= config->maintenance_interval_ms) {
      maintain_logs();
      maintained_ms = now_ms;
    }
    if (now_ms - checkpointed_ms >= config->checkpoint_interval_ms) {
      if (const Status status = directories_.write_checkpoints(table_); !status.ok()) {
        log(LogLevel::kError, "upkeep", status.error().message);
      }
      checkpointed_ms = now_ms;
    }
    given = asked;
    MutexLock lock(mutex_);
    rounds_given_ = given;
    changed_.notify_all();
  }
}

std::optional<EngineConfig> Upkeep::wait_for_round(uint64_t& asked) {
  MutexLock lock(mutex_);
  if (!stopping_ && rounds_asked_ == rounds_given_) {
    changed_.wait_for(mutex_, std::chrono::milliseconds(kRoundMs));
  }
  if (stopping_) return std::nullopt;
  asked = rounds_asked_;
  return config_;
}

void Upkeep::run_due() {
  {
    MutexLock lock(mutex_);
    const uint64_t round = ++rounds_asked_;
    changed_.notify_all();
    while (!stopping_ && rounds_given_ < round) changed_.wait(mutex_);
  }
  cleaner_.run_due();
}

void Upkeep::flush_overdue() {
  const int64_t now_ms = clock_.monotonic_ms();
  std::unordered_map<const Partition*, Seen> seen;
  for (const auto& topic : table_.topics()) {
    for (const auto& partition : topic->partitions) {
      if (partition == nullptr || partition->availability() != ErrorCode::kNone) continue;
      const storage::Log& log = *partition->log();
      Seen now;
      if (const auto before = seen_.find(partition.get()); before != seen_.end()) {
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
      const bool overdue = now.dirty_since_ms >= 0 && topic->config.flush_ms != INT64_MAX &&
                           now_ms - now.dirty_since_ms >= topic->config.flush_ms;
      if (rolled || overdue || partition->awaits_flush()) flusher_.request(partition);
      seen.emplace(partition.get(), now);
    }
  }
  seen_.swap(seen);
}

void Upkeep::remove_due_files() {
  for (const auto& partition : table_.partitions()) {
    if (partition->availability() == ErrorCode::kNone) partition->log()->remove_due_files();
  }
}

void Upkeep::maintain_logs() {
  for (const auto& partition : table_.partitions()) {
    if (partition->availability() == ErrorCode::kNone) {
      partition->log()->maintain(partition->high_watermark());
    }
  }
}

}  // namespace barnabas::dataplane
