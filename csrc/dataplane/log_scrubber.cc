#include "dataplane/log_scrubber.h"

#include <algorithm>
#include <chrono>

#include "base/logger.h"

namespace barnabas::dataplane {
namespace {

constexpr int64_t kLongestSleepMs = 60'000;

}  // namespace

LogScrubber::LogScrubber(const PartitionTable& table, size_t directory_count, Clock& clock,
                         const ScrubberConfig& config)
    : table_(table),
      directory_count_(directory_count),
      clock_(clock),
      rate_(config.max_bytes_per_second, clock),
      config_(config) {}

LogScrubber::~LogScrubber() { stop(); }

void LogScrubber::start() {
  threads_.start("bnb-scrubber", directory_count_, [this](size_t directory) { run(directory); });
}

void LogScrubber::stop() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  rate_.stop();
  threads_.join();
}

void LogScrubber::set_config(const ScrubberConfig& config) {
  rate_.set_limit(config.max_bytes_per_second);
  MutexLock lock(mutex_);
  config_ = config;
  changed_.notify_all();
}

bool LogScrubber::wait_for_round(int64_t last_begin_ms) {
  MutexLock lock(mutex_);
  while (!stopping_) {
    const int64_t since_ms = clock_.monotonic_ms() - last_begin_ms;
    if (config_.interval_ms >= 0 && since_ms >= config_.interval_ms) return true;
    const int64_t left_ms =
        config_.interval_ms < 0 ? kLongestSleepMs : config_.interval_ms - since_ms;
    changed_.wait_for(mutex_, std::chrono::milliseconds(std::min(left_ms, kLongestSleepMs)));
  }
  return false;
}

void LogScrubber::run(size_t directory) {
  int64_t begin_ms = clock_.monotonic_ms();
  while (wait_for_round(begin_ms)) {
    begin_ms = clock_.monotonic_ms();
    scrub_all(directory);
  }
}

void LogScrubber::scrub_all(size_t directory) {
  for (const auto& partition : table_.partitions()) {
    if (!partition->is_served_in(directory)) continue;
    const auto findings =
        partition->log()->scrub([this](uint64_t bytes) { return rate_.spend(bytes); });
    if (!findings.ok()) return;
    for (const Error& finding : *findings) {
      log(LogLevel::kError, "scrubber", finding.message + "; it is left as it is");
    }
  }
}

}  // namespace barnabas::dataplane
