#include "storage/leader_epoch_cache.h"

#include <algorithm>
#include <charconv>

#include "storage/checkpoint_file.h"

namespace barnabas::storage {

bool LeaderEpochCache::assign(int32_t epoch, int64_t start_offset) {
  if (epoch < 0 || start_offset < 0) return false;
  if (!entries_.empty() && back().epoch == epoch && start_offset >= back().start_offset) {
    return false;
  }
  while (!entries_.empty() && (back().epoch >= epoch || back().start_offset >= start_offset)) {
    entries_.pop_back();
  }
  entries_.push_back({epoch, start_offset});
  return true;
}

bool LeaderEpochCache::truncate_from_end(int64_t end_offset) {
  const size_t before = entries_.size();
  while (!entries_.empty() && back().start_offset >= end_offset) entries_.pop_back();
  return entries_.size() != before;
}

bool LeaderEpochCache::truncate_from_start(int64_t start_offset) {
  const auto after = std::partition_point(
      entries_.begin(), entries_.end(),
      [start_offset](const Entry& entry) { return entry.start_offset <= start_offset; });
  if (after == entries_.begin()) return false;
  const auto holder = after - 1;
  if (holder == entries_.begin() && holder->start_offset == start_offset) return false;
  holder->start_offset = start_offset;
  entries_.erase(entries_.begin(), holder);
  return true;
}

int32_t LeaderEpochCache::epoch_for_offset(int64_t offset) const {
  const auto after =
      std::partition_point(entries_.begin(), entries_.end(),
                           [offset](const Entry& entry) { return entry.start_offset <= offset; });
  return after == entries_.begin() ? -1 : (after - 1)->epoch;
}

LeaderEpochCache::EndOffset LeaderEpochCache::end_offset_for(int32_t epoch,
                                                             int64_t log_end_offset) const {
  if (epoch < 0 || entries_.empty()) return {};
  if (epoch == back().epoch) return {epoch, log_end_offset};
  const auto higher =
      std::partition_point(entries_.begin(), entries_.end(),
                           [epoch](const Entry& entry) { return entry.epoch <= epoch; });
  if (higher == entries_.end()) return {};
  // Older than everything known: what it wrote is gone from the log, so it ended where we begin.
  if (higher == entries_.begin()) return {epoch, higher->start_offset};
  return {(higher - 1)->epoch, higher->start_offset};
}

std::vector<std::string> LeaderEpochCache::to_lines() const {
  std::vector<std::string> lines;
  lines.reserve(entries_.size());
  for (const Entry& entry : entries_) {
    lines.push_back(std::to_string(entry.epoch) + " " + std::to_string(entry.start_offset));
  }
  return lines;
}

Result<LeaderEpochCache> LeaderEpochCache::from_lines(const std::string& path,
                                                      const std::vector<std::string>& lines) {
  LeaderEpochCache cache;
  for (const std::string& line : lines) {
    Entry entry;
    const char* end = line.data() + line.size();
    const auto epoch = std::from_chars(line.data(), end, entry.epoch);
    bool good = epoch.ec == std::errc() && epoch.ptr != end && *epoch.ptr == ' ';
    if (good) {
      const auto offset = std::from_chars(epoch.ptr + 1, end, entry.start_offset);
      good = offset.ec == std::errc() && offset.ptr == end;
    }
    if (!good || entry.epoch < 0 || entry.start_offset < 0) {
      return malformed_file(path, "not \"epoch offset\": \"" + line + "\"");
    }
    cache.assign(entry.epoch, entry.start_offset);
  }
  return cache;
}

}  // namespace barnabas::storage
