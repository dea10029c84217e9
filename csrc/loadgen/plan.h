// What a load generator is to do: plain values that the control plane fills in.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "record/batch.h"

namespace barnabas::loadgen {

inline constexpr int64_t kNsPerSecond = 1'000'000'000;

/// One partition under load.
struct PartitionPlan {
  std::string topic;
  int32_t partition = 0;
  int64_t start_offset = 0;  // where consumers begin
  int64_t end_offset = -1;   // where they stop, -1: when the time is over
};

enum class Role : uint8_t { kProduce, kConsume };

/// One connection to a broker that leads all of its partitions.
struct ConnectionPlan {
  std::string host;
  uint16_t port = 0;
  Role role = Role::kProduce;
  std::vector<int32_t> partitions;  // indexes into Plan::partitions
};

enum class KeyDistribution : uint8_t { kNone, kUniform, kZipf };

struct Plan {
  std::vector<PartitionPlan> partitions;
  std::vector<ConnectionPlan> connections;
  int32_t threads = 1;

  // When. First `warm_up_ns`, whose samples do not count, then `duration_ns` (0: no such end), or
  // until `records` were sent by producers or fetched by consumers (0: no such end).
  int64_t warm_up_ns = 0;
  int64_t duration_ns = 0;
  int64_t records = 0;

  // Produce.
  double rate = 0;  // records a second over all connections; 0: as fast as answers come
  int64_t linger_ns = 0;
  int32_t in_flight = 1;        // requests of one connection that wait for their answers
  int16_t acks = 1;             // -1: all
  int32_t record_size = 100;    // bytes of a value
  int32_t batch_bytes = 16384;  // of a batch before compression, at most
  int32_t batch_records = 0;    // instead of batch_bytes, when above 0
  record::Codec codec = record::Codec::kNone;
  KeyDistribution key_distribution = KeyDistribution::kNone;
  int32_t keys = 0;                  // how many there are
  int32_t partitions_per_topic = 1;  // keys are spread over these as Kafka's partitioner does
  bool stamped = false;  // values carry their due time, which consumers of this plan read

  // Consume.
  int32_t fetch_max_bytes = 50 << 20;
  int32_t partition_max_bytes = 1 << 20;
  int32_t fetch_min_bytes = 1;
  int32_t fetch_max_wait_ms = 500;
  bool repeat = false;  // begins anew at the end offset
  bool verify = false;  // checks the CRC of every batch
};

/// An Error of a broker or network that does not do its part.
inline Error peer_error(std::string message) {
  return Error{ErrorCode::kNetworkException, std::move(message)};
}

}  // namespace barnabas::loadgen
