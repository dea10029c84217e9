// A Produce request (API key 0), parsed in place.
//
// Versions: 0-2 have no transactional id and are answered UNSUPPORTED_VERSION (KAFKA-18659 keeps
// them advertised); 3-8 the old encoding; 9+ flexible; 13 names topics by id instead of by name.
//
// Ownership: every view points into the request's body.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/uuid.h"
#include "dataplane/named_partition.h"

namespace barnabas::dataplane {

inline constexpr int16_t kProduceMaxVersion = 13;
inline constexpr int16_t kProduceFirstServedVersion = 3;
inline constexpr int16_t kProduceFirstFlexibleVersion = 9;
inline constexpr int16_t kProduceFirstTopicIdVersion = 13;

struct ProducePartition {
  int32_t index = 0;
  std::optional<MutableBytes> records;
};

struct ProduceTopic {
  std::string_view name;  // empty from version 13 on
  Uuid id;                // zero before version 13
  size_t partition_count = 0;
};

/// Meant to be reused: parse() keeps the capacity of the vectors.
struct ProduceRequest {
  std::optional<std::string_view> transactional_id;
  int16_t acks = 0;
  int32_t timeout_ms = 0;
  std::vector<ProduceTopic> topics;
  std::vector<ProducePartition> partitions;  // of all topics, in order

  /// `body` begins after the client id. False when it is not a Produce request of that version. A
  /// partition named twice counts once, as it was named last.
  [[nodiscard]] bool parse(MutableBytes body, int16_t version);

 private:
  std::vector<NamedPartition> names_;
};

}  // namespace barnabas::dataplane
