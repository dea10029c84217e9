#include "dataplane/fetch_plan.h"

#include <utility>

namespace barnabas::dataplane {

void FetchPlan::add(std::shared_ptr<Partition> partition, const FetchParams& params) {
  const auto position = static_cast<uint32_t>(size());
  auto& entry = entries.emplace_back();
  entry.position = position;
  entry.params = params;
  entry.partition = std::move(partition);
}

void FetchPlan::refuse(const Uuid& topic_id, std::string_view topic, int32_t index,
                       const FetchParams& params, ErrorCode error) {
  if (refused_topics.empty() || refused_topics.back().id != topic_id ||
      refused_topics.back().name != topic) {
    refused_topics.push_back({topic_id, std::string(topic)});
  }
  const auto position = static_cast<uint32_t>(size());
  auto& refusal = refusals.emplace_back();
  refusal.position = position;
  refusal.topic = static_cast<uint32_t>(refused_topics.size() - 1);
  refusal.index = index;
  refusal.error = error;
  refusal.params = params;
}

void FetchPlan::clear() {
  entries.clear();
  refusals.clear();
  refused_topics.clear();
}

size_t FetchPlan::memory_bytes() const {
  size_t total = entries.capacity() * sizeof(FetchEntry) +
                 refusals.capacity() * sizeof(FetchRefusal) +
                 refused_topics.capacity() * sizeof(FetchTopicName);
  for (const auto& topic : refused_topics) total += topic.name.capacity();
  return total;
}

}  // namespace barnabas::dataplane
