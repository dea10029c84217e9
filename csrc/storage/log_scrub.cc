// Reading old segments back, to find out whether they are still what was written.
#include <algorithm>

#include "storage/batch_reader.h"
#include "storage/log_impl.h"

namespace barnabas::storage {
namespace {

constexpr size_t kScrubBufferBytes = 1 << 20;

/// Whether every batch is good; kRequestTimedOut when told to give up.
Status check_file(int fd, const std::string& path, uint64_t size, const ScrubPace& pace) {
  BatchReader reader(fd, path, size, kScrubBufferBytes);
  uint64_t paced = 0;
  while (true) {
    BARNABAS_ASSIGN(const auto batch, reader.next());
    const uint64_t bytes = reader.position() - paced;
    if (bytes >= kScrubBufferBytes || !batch) {
      if (pace && !pace(bytes)) return Error{ErrorCode::kRequestTimedOut, path + ": stopped", 0};
      paced = reader.position();
    }
    if (!batch) return {};
  }
}

}  // namespace

Result<std::vector<Error>> LogImpl::scrub(const ScrubPace& pace) {
  std::vector<std::pair<SegmentPtr, uint64_t>> closed;
  {
    MutexLock lock(mutex_);
    for (const SegmentPtr& segment : segments_) {
      if (segment != segments_.back()) closed.emplace_back(segment, segment->size);
    }
  }
  std::vector<Error> findings;
  for (const auto& [segment, size] : closed) {
    std::string path;
    const auto file = open_log_file(segment, &path);
    Status checked =
        file.ok() ? check_file((*file)->get(), path, size, pace) : Status(file.error());
    if (checked.ok()) continue;
    if (checked.error().code == ErrorCode::kRequestTimedOut) return std::move(checked).error();
    // Retention or compaction may have taken it meanwhile: then it is no finding.
    MutexLock lock(mutex_);
    const bool there = std::find(segments_.begin(), segments_.end(), segment) != segments_.end();
    if (there && segment->size == size && !closed_) findings.push_back(std::move(checked).error());
  }
  return findings;
}

}  // namespace barnabas::storage
