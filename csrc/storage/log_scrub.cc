// Reading old segments back, to find out whether they are still what was written.
#include <algorithm>

#include "storage/batch_reader.h"
#include "storage/log_file_name.h"
#include "storage/log_impl.h"

namespace barnabas::storage {
namespace {

constexpr size_t kScrubBufferBytes = 1 << 20;
constexpr int32_t kNoLeaderEpoch = -1;

/// What a closed segment is to be like.
struct Expectation {
  OffsetBounds bounds;
  int64_t epochs_from = 0;  // the log start: of what is below it no epochs are kept
  const LeaderEpochCache& epochs;
};

/// Whether every batch is good; kRequestTimedOut when told to give up. `odd` gets a batch that is
/// out of place.
Status check_file(int fd, const std::string& path, uint64_t size, const Expectation& expected,
                  const ScrubPace& pace, OddRange& odd) {
  BatchReader reader(fd, path, 0, size, kScrubBufferBytes, OffsetOrder(expected.bounds));
  uint64_t paced = 0;
  Status checked;
  while (true) {
    auto next = reader.next();
    if (reader.out_of_place()) odd.add({reader.position(), reader.position() + 1});
    BARNABAS_ASSIGN(const auto batch, std::move(next));
    const uint64_t bytes = reader.position() - paced;
    if (bytes >= kScrubBufferBytes || !batch) {
      if (pace && !pace(bytes)) return Error{ErrorCode::kRequestTimedOut, path + ": stopped", 0};
      paced = reader.position();
    }
    if (!batch) return checked;
    const record::BatchView& view = batch->view;
    const bool has_epoch = view.leader_epoch() != kNoLeaderEpoch;
    if (!checked.ok() || !has_epoch || view.base_offset() < expected.epochs_from) continue;
    const int32_t epoch = expected.epochs.epoch_for_offset(view.base_offset());
    if (epoch < 0 || epoch == view.leader_epoch()) continue;
    checked =
        Error{ErrorCode::kCorruptMessage,
              path + ": leader epoch " + std::to_string(view.leader_epoch()) + ", not " +
                  std::to_string(epoch) + " as in " + std::string(kLeaderEpochCheckpointName) +
                  ", at byte " + std::to_string(batch->position),
              0};
  }
}

}  // namespace

Result<std::vector<Error>> LogImpl::scrub(const ScrubPace& pace) {
  struct Closed {
    SegmentPtr segment;
    uint64_t size;
    OffsetBounds bounds;
  };
  std::vector<Closed> closed;
  LeaderEpochCache epochs;
  int64_t log_start = 0;
  {
    MutexLock lock(mutex_);
    epochs = epochs_;
    log_start = log_start_offset_.load();
    for (const SegmentPtr& segment : segments_) {
      if (segment == segments_.back()) break;
      closed.push_back({segment, segment->size, bounds_of(*segment)});
    }
  }
  std::vector<Error> findings;
  for (const auto& [segment, size, bounds] : closed) {
    std::string path;
    const auto file = open_log_file(segment, &path);
    OddRange odd;
    Status checked =
        file.ok() ? check_file((*file)->get(), path, size, {bounds, log_start, epochs}, pace, odd)
                  : Status(file.error());
    if (checked.ok()) continue;
    if (checked.error().code == ErrorCode::kRequestTimedOut) return std::move(checked).error();
    // Retention or compaction may have taken it meanwhile: then it is no finding.
    MutexLock lock(mutex_);
    const bool there = std::find(segments_.begin(), segments_.end(), segment) != segments_.end();
    if (!there || segment->size != size || closed_) continue;
    segment->odd.add(odd);
    findings.push_back(std::move(checked).error());
  }
  return findings;
}

}  // namespace barnabas::storage
