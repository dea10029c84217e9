#include "dataplane/produce_job.h"

#include <cassert>
#include <string_view>
#include <utility>

namespace barnabas::dataplane {
namespace {

bool is_internal(std::string_view topic) {
  return topic == "__consumer_offsets" || topic == "__transaction_state" ||
         topic == "__share_group_state";
}

}  // namespace

ErrorCode ProduceJob::check_partition(const Topic* topic, int32_t index) const {
  if (version < kProduceFirstServedVersion) return ErrorCode::kUnsupportedVersion;
  if (topic == nullptr && version >= kProduceFirstTopicIdVersion) {
    return ErrorCode::kUnknownTopicId;
  }
  if (topic == nullptr || topic->find(index) == nullptr) {
    return ErrorCode::kUnknownTopicOrPartition;
  }
  if (request.acks < -1 || request.acks > 1) return ErrorCode::kInvalidRequiredAcks;
  if (is_internal(topic->identity->name) && !of_admin_client) {
    return ErrorCode::kInvalidTopicException;
  }
  return ErrorCode::kNone;
}

std::shared_ptr<MovedProduce> MovedProduce::of(const net::Request& request, ProduceJob& job) {
  auto moved = std::make_shared<MovedProduce>();
  moved->body.assign(request.body.begin(), request.body.end());
  moved->job = std::exchange(job, {});
  const bool parsed = moved->job.request.parse(moved->body, request.api_version);
  assert(parsed);  // as it was the first time
  (void)parsed;
  return moved;
}

size_t MovedProduce::memory_bytes() const {
  return sizeof(*this) + body.capacity() +
         job.request.partitions.capacity() * sizeof(ProducePartition) +
         job.checks.capacity() * sizeof(TransactionCheck) +
         job.results.capacity() * sizeof(ProducePartitionResult);
}

}  // namespace barnabas::dataplane
