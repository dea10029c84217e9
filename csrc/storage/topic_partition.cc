#include "storage/topic_partition.h"

#include <algorithm>
#include <charconv>

#include "base/uuid.h"

namespace barnabas::storage {
namespace {

constexpr size_t kMaxFileNameBytes = 255;  // NAME_MAX
constexpr size_t kUuidDigits = 32;

}  // namespace

std::optional<TopicPartition> TopicPartition::parse(std::string_view name) {
  const size_t dash = name.rfind('-');
  if (dash == std::string_view::npos || dash == 0 || dash + 1 == name.size()) return std::nullopt;
  const std::string_view digits = name.substr(dash + 1);
  TopicPartition parsed;
  const auto [end, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), parsed.partition);
  if (error != std::errc() || end != digits.data() + digits.size() || parsed.partition < 0) {
    return std::nullopt;
  }
  parsed.topic = name.substr(0, dash);
  return parsed;
}

std::string unique_name(const TopicPartition& partition, std::string_view suffix) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string tail = "-" + std::to_string(partition.partition) + ".";
  for (const uint8_t byte : Uuid::random().bytes) {
    tail += kDigits[byte >> 4];
    tail += kDigits[byte & 15];
  }
  tail += suffix;
  return partition.topic.substr(0, kMaxFileNameBytes - tail.size()) + tail;
}

bool is_cut_in_unique_name(const TopicPartition& partition, std::string_view suffix) {
  return partition.to_string().size() + 1 + kUuidDigits + suffix.size() > kMaxFileNameBytes;
}

std::optional<TopicPartition> parse_unique_name(std::string_view name, std::string_view suffix) {
  const size_t tail = 1 + kUuidDigits + suffix.size();
  if (!name.ends_with(suffix) || name.size() <= tail) return std::nullopt;
  if (name[name.size() - tail] != '.') return std::nullopt;
  return TopicPartition::parse(name.substr(0, name.size() - tail));
}

}  // namespace barnabas::storage
