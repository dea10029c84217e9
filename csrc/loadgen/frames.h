// The two requests a generator sends, encoded once; sending one patches what changes. Both are in
// versions that name topics by name and that every broker since Kafka 2.8 knows: Produce 9,
// Fetch 12.
//
// Frame: size int32, api key int16, version int16, correlation id int32, client id string, tagged
// fields, then the message in the flexible encoding.
//
// Thread-safety: belongs to one thread.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "loadgen/outbox.h"
#include "loadgen/plan.h"

namespace barnabas::loadgen {

inline constexpr int16_t kProduceKey = 0;
inline constexpr int16_t kProduceVersion = 9;
inline constexpr int16_t kFetchKey = 1;
inline constexpr int16_t kFetchVersion = 12;

/// Produce requests with one batch for one partition.
class ProduceFrame {
 public:
  ProduceFrame(const PartitionPlan& partition, int16_t acks);

  /// Appends a request; a batch that `is_lasting` and large is borrowed.
  void append_to(Outbox& outbox, int32_t correlation_id, ByteView batch, bool is_lasting) const;

 private:
  std::vector<uint8_t> head_;  // up to the length of the records
};

/// Fetch requests, without a session, for some partitions.
class FetchFrame {
 public:
  /// `partitions`: indexes into plan.partitions, those of a topic together.
  FetchFrame(const Plan& plan, std::span<const int32_t> partitions);

  /// Sets where partition `position` (of those given) is read from.
  void set_offset(size_t position, int64_t offset);
  void append_to(Outbox& outbox, int32_t correlation_id);

 private:
  std::vector<uint8_t> frame_;
  std::vector<size_t> offsets_at_;  // where the fetch offset of each partition is
};

}  // namespace barnabas::loadgen
