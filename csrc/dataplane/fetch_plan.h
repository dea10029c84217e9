// What a Fetch request comes to once its partitions are found: made by the FetchHandler, filled in
// by the FetchOperation, read by the encoder of the answer.
//
//   FetchRequest (parsed) -> FetchPlan: entries, refusals -> read, wait -> response
//
// Ownership: owns what it holds, and shares partitions and the session. Partitions that are not
// there are kept small: a request may name 200,000 of them, and wait.
//
// Thread-safety: belongs to its operation.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/kafka_error.h"
#include "base/log_limiter.h"
#include "base/uuid.h"
#include "dataplane/directory_pools.h"
#include "dataplane/fetch_session.h"
#include "dataplane/partition.h"
#include "dataplane/partition_waiter.h"
#include "dataplane/purgatory.h"
#include "net/server.h"

namespace barnabas::dataplane {

/// What every fetch needs; outlives them.
struct FetchServices {
  net::Server& server;
  Purgatory& purgatory;
  DirectoryPools& disk_threads;
  FetchSessionCache& sessions;
  Clock& clock;
  LogLimiter& log;
};

/// A partition that is there: what was asked of it, and what was found.
struct FetchEntry {
  uint32_t position = 0;  // in the request, or in the session
  FetchParams params;
  std::shared_ptr<Partition> partition;  // never null
  PartitionRead read;
  bool has_read = false;
  bool told = true;                  // in the answer: it tells the client something new
  uint64_t visible_before_read = 0;  // partition->visible_bytes()
  Watch watch;
};

/// A partition that is not there, or not for this client.
struct FetchRefusal {
  uint32_t position = 0;  // in the request, or in the session
  uint32_t topic = 0;     // index into FetchPlan::refused_topics
  int32_t index = 0;
  ErrorCode error = ErrorCode::kNone;
  bool told = true;
  FetchParams params;
};

/// A topic as the client named it: by id, or (then the id is zero) by name.
struct FetchTopicName {
  Uuid id;
  std::string name;
};

struct FetchResponseHeader {
  int32_t correlation_id = 0;
  int16_t version = 0;
  ErrorCode error = ErrorCode::kNone;
  int32_t session_id = kNoSessionId;
  int32_t node_id = -1;  // of this broker
  IsolationLevel isolation = IsolationLevel::kReadUncommitted;
};

/// How the answer and the session relate.
enum class SessionKind : uint8_t {
  kNone,         // no session, or the last request of one
  kNew,          // one is made when the answer is
  kIncremental,  // the answer holds what changed
};

struct FetchPlan {
  net::RequestToken token;
  FetchResponseHeader header;
  int64_t deadline_ns = 0;  // monotonic; when to answer with what there is
  bool may_wait = true;
  uint64_t min_bytes = 0;
  uint64_t max_bytes = 0;
  SessionKind session_kind = SessionKind::kNone;
  FetchSessionPtr session;    // kIncremental
  int32_t session_epoch = 0;  // kIncremental: what the session's epoch is as long as it is ours

  std::vector<FetchEntry> entries;
  std::vector<FetchRefusal> refusals;
  std::vector<FetchTopicName> refused_topics;

  /// The next partition of the request, or of the session.
  void add(std::shared_ptr<Partition> partition, const FetchParams& params);
  void refuse(const Uuid& topic_id, std::string_view topic, int32_t index,
              const FetchParams& params, ErrorCode error);
  [[nodiscard]] size_t size() const { return entries.size() + refusals.size(); }
  void clear();
  [[nodiscard]] size_t memory_bytes() const;

  /// Calls `visit` with every entry and every refusal, in the order in which they were added.
  template <class Visit>
  void for_each(Visit visit) {
    auto refusal = refusals.begin();
    for (FetchEntry& entry : entries) {
      while (refusal != refusals.end() && refusal->position < entry.position) visit(*refusal++);
      visit(entry);
    }
    while (refusal != refusals.end()) visit(*refusal++);
  }
};

}  // namespace barnabas::dataplane
