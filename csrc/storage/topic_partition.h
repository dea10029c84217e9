// The name of a partition, and of its directory. Pure functions.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace barnabas::storage {

struct TopicPartition {
  std::string topic;
  int32_t partition = 0;

  /// `<topic>-<partition>`, the directory's name.
  [[nodiscard]] std::string to_string() const { return topic + "-" + std::to_string(partition); }
  /// The partition in `<topic>-<n>`; nullopt for other names, those of unique_name() among them.
  static std::optional<TopicPartition> parse(std::string_view name);
  friend bool operator==(const TopicPartition&, const TopicPartition&) = default;
  friend auto operator<=>(const TopicPartition&, const TopicPartition&) = default;
};

inline constexpr std::string_view kDeleteSuffix = "-delete";
inline constexpr std::string_view kStraySuffix = "-stray";
/// A copy that is to take the partition's place, in another log directory.
inline constexpr std::string_view kFutureSuffix = "-future";

/// What a directory is renamed to when it is on its way out or aside, as Kafka does it:
/// `<topic>-<n>.<32 hex digits><suffix>`, the topic cut to what a file name may hold.
std::string unique_name(const TopicPartition& partition, std::string_view suffix);
/// Whether unique_name() has to cut the topic: then nothing tells the partition from the name.
bool is_cut_in_unique_name(const TopicPartition& partition, std::string_view suffix);
/// The partition in a name that unique_name() made with `suffix`; nullopt for other names.
std::optional<TopicPartition> parse_unique_name(std::string_view name, std::string_view suffix);

}  // namespace barnabas::storage

template <>
struct std::hash<barnabas::storage::TopicPartition> {
  size_t operator()(const barnabas::storage::TopicPartition& tp) const noexcept {
    return std::hash<std::string>{}(tp.topic) * 31 + static_cast<size_t>(tp.partition);
  }
};
