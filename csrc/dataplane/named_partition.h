// Partitions that a request names more than once. Kafka collects them in a map: the last one
// counts, and the answer has each once.
//
// Thread-safety: pure functions.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string_view>
#include <tuple>
#include <vector>

#include "base/uuid.h"

namespace barnabas::dataplane {

struct NamedPartition {
  std::string_view topic;
  Uuid topic_id;
  int32_t index = 0;
  uint32_t position = 0;  // in the request

  [[nodiscard]] auto name() const { return std::tie(topic, topic_id.bytes, index); }
};

/// Drops of every partition all but the last, and the topics that this leaves empty. `partitions`
/// are those of all topics, in order; `names` is storage to use again.
template <class Topic, class Partition>
void keep_last_of_each(std::vector<Topic>& topics, std::vector<Partition>& partitions,
                       std::vector<NamedPartition>& names) {
  if (partitions.size() < 2) return;
  names.clear();
  uint32_t position = 0;
  for (const Topic& topic : topics) {
    for (size_t i = 0; i < topic.partition_count; ++i, ++position) {
      names.push_back({topic.name, topic.id, partitions[position].index, position});
    }
  }
  const auto by_name = [](const NamedPartition& a, const NamedPartition& b) {
    return a.name() != b.name() ? a.name() < b.name() : a.position < b.position;
  };
  if (!std::is_sorted(names.begin(), names.end(), by_name)) {
    std::sort(names.begin(), names.end(), by_name);
  }
  std::vector<bool> dropped;
  for (size_t i = 0; i + 1 < names.size(); ++i) {
    if (names[i].name() != names[i + 1].name()) continue;
    dropped.resize(partitions.size());
    dropped[names[i].position] = true;
  }
  if (dropped.empty()) return;

  size_t kept = 0;
  position = 0;
  for (Topic& topic : topics) {
    const size_t before = kept;
    for (const size_t end = position + topic.partition_count; position < end; ++position) {
      if (!dropped[position]) partitions[kept++] = partitions[position];
    }
    topic.partition_count = kept - before;
  }
  partitions.resize(kept);
  std::erase_if(topics, [](const Topic& topic) { return topic.partition_count == 0; });
}

}  // namespace barnabas::dataplane
