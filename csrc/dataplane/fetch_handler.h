// Fetch (API key 1), versions 4-18: parses, finds or ends the session, resolves partitions, and
// hands the rest to a FetchOperation.
//
// Replica fetches (replica_id >= 0) are refused as Kafka refuses a replica it does not know: there
// are no followers yet.
//
// Thread-safety: handle() runs on the reactor of the request; everything per reactor lies in a
// scratch of that reactor's own.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "dataplane/fetch_plan.h"
#include "dataplane/fetch_request.h"
#include "dataplane/partition_table.h"
#include "net/server.h"

namespace barnabas::dataplane {

class FetchHandler {
 public:
  /// Everything borrowed outlives the handler.
  FetchHandler(const PartitionTable& table, FetchServices services, size_t reactor_count);

  net::Admission handle(const net::Request& request);

  /// fetch.max.bytes; takes effect with the next request.
  void set_max_bytes(int32_t max_bytes) { max_bytes_ = max_bytes; }
  /// This broker's id. Before the server starts.
  void set_node_id(int32_t node_id) { node_id_ = node_id; }

 private:
  /// A partition, or why there is none.
  struct Resolved {
    std::shared_ptr<Partition> partition;
    ErrorCode error = ErrorCode::kNone;
  };

  [[nodiscard]] FetchPlan begin_plan(const net::Request& request, const FetchRequest& fetch) const;
  void plan_from_request(const FetchRequest& request, FetchPlan& plan) const;
  /// Brings the session up to date with the request and plans from it.
  void plan_from_session(const FetchRequest& request, FetchPlan& plan);
  void plan_from_partitions(FetchSession::Partitions& partitions, const FetchRequest& request,
                            FetchPlan& plan) const;
  [[nodiscard]] Resolved resolve(const CachedPartition& cached, int16_t version) const;
  /// In `topic`, which is null when there is none.
  static Resolved resolve(const TopicPtr& topic, ErrorCode unknown_topic, int32_t index,
                          int16_t version);

  const PartitionTable& table_;
  FetchServices services_;
  std::atomic<int32_t> max_bytes_{INT32_MAX};
  std::atomic<int32_t> node_id_{-1};
  std::vector<FetchRequest> scratch_;  // by reactor
};

}  // namespace barnabas::dataplane
