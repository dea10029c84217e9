// The batches that producers send, encoded before the load begins, so that sending one costs the
// generator next to nothing.
//
// A template is one batch as full as the plan allows, its records' positions known. Without keys
// all partitions share a few templates; with keys each partition has its own, of keys that hash to
// it. Timestamps are those of the start: a fresh one would mean a new CRC over every byte.
//
// BatchTemplates is immutable once made and shared by all workers; a BatchSource belongs to one.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "base/result.h"
#include "loadgen/keys.h"
#include "loadgen/plan.h"

namespace barnabas::loadgen {

/// A stamped value begins with these: the run it belongs to, and when its record was due.
inline constexpr size_t kStampBytes = 16;

struct BatchTemplate {
  std::vector<uint8_t> plain;     // header and records, uncompressed, without a CRC
  std::vector<uint32_t> ends;     // of record i, in `plain`
  std::vector<uint32_t> values;   // where the value of record i begins, in `plain`
  std::vector<uint8_t> complete;  // the whole batch, ready to be sent
};

class BatchTemplates {
 public:
  /// `timestamp_ms` becomes every record's.
  static Result<std::unique_ptr<BatchTemplates>> build(const Plan& plan, int64_t timestamp_ms);

  [[nodiscard]] int32_t full_count() const { return full_count_; }
  /// The part of all records that goes to a partition, by its number within the topic.
  [[nodiscard]] double weight(int32_t partition) const {
    return keys_ == nullptr ? 1.0 : keys_->weight(partition);
  }
  /// REQUIRES: weight(partition) > 0
  [[nodiscard]] const BatchTemplate& choose(int32_t partition, uint64_t turn) const {
    const auto& group = groups_[keys_ == nullptr ? 0 : static_cast<size_t>(partition)];
    return group[turn % group.size()];
  }
  [[nodiscard]] record::Codec codec() const { return codec_; }

 private:
  Status add(std::vector<BatchTemplate>& group, const Plan& plan, int32_t partition,
             int64_t timestamp_ms, uint64_t seed);

  std::unique_ptr<Keys> keys_;                      // null: records have none
  std::vector<std::vector<BatchTemplate>> groups_;  // one, or one a partition
  int32_t full_count_ = 0;                          // records of a full batch
  record::Codec codec_ = record::Codec::kNone;
};

class BatchSource {
 public:
  explicit BatchSource(const BatchTemplates& templates) : templates_(templates) {}

  /// A batch of the first `count` records. Valid until the next call; that of a full one as long
  /// as the templates.
  Result<ByteView> take(int32_t partition, int32_t count);
  /// As take(), stamped with the run and when each record was due. Valid until the next call.
  Result<ByteView> take_stamped(int32_t partition, uint64_t run, std::span<const int64_t> due_ns);

 private:
  Result<ByteView> cut(const BatchTemplate& from, int32_t count);
  Result<ByteView> finish(int32_t count);

  const BatchTemplates& templates_;
  uint64_t turn_ = 0;
  std::vector<uint8_t> scratch_;
  // Compressing costs: batches of a size that came before are kept.
  std::map<std::pair<const BatchTemplate*, int32_t>, std::vector<uint8_t>> cut_batches_;
  size_t cut_bytes_ = 0;
};

}  // namespace barnabas::loadgen
