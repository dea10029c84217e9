// A Fetch request (API key 1), parsed in place.
//
// Versions: 4-6 without sessions; 7 sessions and forgotten topics (KIP-227); 9 current leader
// epoch; 11 rack id; 12 flexible, last fetched epoch; 13 names topics by id; 15 replica id moves
// into the tagged ReplicaState; 17 replica directory id (tagged, ignored here); 18 the follower's
// high watermark (tagged, ignored here).
//
// Ownership: every view points into the request's body.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/uuid.h"
#include "dataplane/fetch_session.h"
#include "dataplane/named_partition.h"
#include "dataplane/partition.h"

namespace barnabas::dataplane {

inline constexpr int16_t kFetchMinVersion = 4;
inline constexpr int16_t kFetchMaxVersion = 18;
inline constexpr int16_t kFetchFirstSessionVersion = 7;
inline constexpr int16_t kFetchFirstFlexibleVersion = 12;
inline constexpr int16_t kFetchFirstTopicIdVersion = 13;

struct FetchPartition {
  int32_t index = 0;
  FetchParams params;
};

struct FetchTopic {
  std::string_view name;  // empty from version 13 on
  Uuid id;                // zero before version 13
  size_t partition_count = 0;
};

/// Meant to be reused: parse() keeps the capacity of the vectors.
struct FetchRequest {
  int32_t replica_id = -1;  // below 0: a consumer
  int32_t max_wait_ms = 0;
  int32_t min_bytes = 0;
  int32_t max_bytes = INT32_MAX;
  IsolationLevel isolation = IsolationLevel::kReadUncommitted;
  int32_t session_id = kNoSessionId;
  int32_t session_epoch = kFinalSessionEpoch;
  std::vector<FetchTopic> topics;
  std::vector<FetchPartition> partitions;  // of all topics, in order
  std::vector<FetchTopic> forgotten_topics;
  std::vector<int32_t> forgotten_partitions;  // of all forgotten topics, in order

  /// `body` begins after the client id. False when it is not a Fetch request of that version. A
  /// partition named twice counts once, as it was named last.
  [[nodiscard]] bool parse(MutableBytes body, int16_t version);
  /// The session, if any, is to end or to start anew.
  [[nodiscard]] bool is_full() const {
    return session_epoch == kInitialSessionEpoch || session_epoch == kFinalSessionEpoch;
  }

 private:
  std::vector<NamedPartition> names_;
};

}  // namespace barnabas::dataplane
