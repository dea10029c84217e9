// The name of a partition, and of its directory.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace barnabas::storage {

struct TopicPartition {
  std::string topic;
  int32_t partition = 0;

  /// `<topic>-<partition>`, the directory's name.
  [[nodiscard]] std::string to_string() const { return topic + "-" + std::to_string(partition); }
  friend bool operator==(const TopicPartition&, const TopicPartition&) = default;
  friend auto operator<=>(const TopicPartition&, const TopicPartition&) = default;
};

}  // namespace barnabas::storage

template <>
struct std::hash<barnabas::storage::TopicPartition> {
  size_t operator()(const barnabas::storage::TopicPartition& tp) const noexcept {
    return std::hash<std::string>{}(tp.topic) * 31 + static_cast<size_t>(tp.partition);
  }
};
