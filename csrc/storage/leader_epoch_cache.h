// Which leader epoch wrote which offsets: (epoch, start offset) pairs, both strictly increasing.
//
// Pure state; its owner (Log) locks it and writes it to `leader-epoch-checkpoint`. What the file
// lacks beyond the recovery point is found again in the batches themselves.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"

namespace barnabas::storage {

class LeaderEpochCache {
 public:
  struct Entry {
    int32_t epoch = -1;
    int64_t start_offset = -1;
    friend bool operator==(const Entry&, const Entry&) = default;
  };
  struct EndOffset {
    int32_t epoch = -1;
    int64_t offset = -1;
  };

  /// `epoch` starts at `start_offset`. Entries that contradict it (a higher epoch, or a start at or
  /// beyond this one) go. Returns whether anything changed.
  bool assign(int32_t epoch, int64_t start_offset);
  /// Forgets epochs that start at or after `end_offset`. Returns whether anything changed.
  bool truncate_from_end(int64_t end_offset);
  /// Forgets what ends at or before `start_offset`; the epoch that holds it now starts there.
  bool truncate_from_start(int64_t start_offset);

  [[nodiscard]] int32_t latest_epoch() const { return entries_.empty() ? -1 : back().epoch; }
  [[nodiscard]] int32_t epoch_for_offset(int64_t offset) const;
  /// The largest epoch at or below `epoch`, and where it ends; `log_end_offset` for the latest.
  [[nodiscard]] EndOffset end_offset_for(int32_t epoch, int64_t log_end_offset) const;
  [[nodiscard]] bool empty() const { return entries_.empty(); }
  [[nodiscard]] const std::vector<Entry>& entries() const { return entries_; }

  /// The lines of the checkpoint file, and back. kKafkaStorageError names a line that is wrong.
  [[nodiscard]] std::vector<std::string> to_lines() const;
  static Result<LeaderEpochCache> from_lines(const std::string& path,
                                             const std::vector<std::string>& lines);

 private:
  [[nodiscard]] const Entry& back() const { return entries_.back(); }
  std::vector<Entry> entries_;
};

}  // namespace barnabas::storage
