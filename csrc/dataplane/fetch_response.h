// The answer to a Fetch request: header bytes and, between them, ranges of segment files.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/kafka_error.h"
#include "base/uuid.h"
#include "dataplane/fetch_request.h"
#include "dataplane/fetch_session.h"
#include "dataplane/partition.h"
#include "dataplane/partition_waiter.h"
#include "net/response.h"

namespace barnabas::dataplane {

/// One partition of a fetch: what was asked, and what was found.
struct FetchEntry {
  int32_t index = 0;
  Uuid topic_id;      // as the request named it; zero before version 13
  std::string topic;  // its name when `partition` is null and the request named it so
  FetchParams params;
  std::shared_ptr<Partition> partition;  // null: read.error says why
  PartitionRead read;
  bool has_read = false;
  bool included = true;               // in the answer: it tells the client something new
  uint64_t visible_before_read = 0;   // partition->visible_bytes()
  CachedPartition* cached = nullptr;  // of an incremental session, while its epoch is ours
  Watch watch;

  [[nodiscard]] const std::string& topic_name() const {
    return partition == nullptr ? topic : partition->topic().name;
  }
};

struct FetchResponseHeader {
  int32_t correlation_id = 0;
  int16_t version = 0;
  ErrorCode error = ErrorCode::kNone;
  int32_t session_id = kNoSessionId;
  int32_t node_id = -1;  // of this broker
  IsolationLevel isolation = IsolationLevel::kReadUncommitted;
};

/// Moves the file slices of the included entries into the response.
net::Response encode_fetch_response(const FetchResponseHeader& header,
                                    std::vector<FetchEntry>& entries);

}  // namespace barnabas::dataplane
