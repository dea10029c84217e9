// The data plane without its sockets: frames go in as a reactor hands them over, answers stay where
// they can be looked at. Everything but the network is the broker's own.
//
// Thread-safety: belongs to one thread, which stands for reactor 0.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "base/log_limiter.h"
#include "dataplane/directory_pools.h"
#include "dataplane/fetch_handler.h"
#include "dataplane/fetch_session.h"
#include "dataplane/flusher.h"
#include "dataplane/partition_table.h"
#include "dataplane/produce_handler.h"
#include "dataplane/purgatory.h"
#include "fixture.h"
#include "net/frame_parser.h"
#include "net/server.h"
#include "requests.h"

namespace barnabas::bench {

/// Keeps the last answer instead of sending it.
class KeepingServer final : public net::Server {
 public:
  Result<uint16_t> listen(const std::string&, uint16_t) override { return uint16_t{0}; }
  Status start() override { return {}; }
  void stop(int64_t) override {}
  void set_config(const net::ServerConfig&) override {}
  void respond(net::RequestToken, net::Response response) override {
    last = std::move(response);
    ++answers;
  }
  [[nodiscard]] bool is_connected(const net::RequestToken&) const override { return true; }
  void post(uint32_t, net::Task task) override { task(); }
  net::TimerId add_timer(uint32_t, int64_t, net::Task) override {
    die("a request that should be answered at once waits");
  }
  void cancel_timer(uint32_t, net::TimerId) override {}
  void run_due_timers() override {}
  void resume_paused() override {}
  [[nodiscard]] net::ServerStats stats() const override { return {}; }
  [[nodiscard]] uint32_t reactor_count() const override { return 1; }
  [[nodiscard]] std::optional<uint32_t> current_reactor() const override { return 0; }

  net::Response last;
  uint64_t answers = 0;
};

class BarePlane {
 public:
  /// Serves the topic of requests.h, its logs in `directory`.
  BarePlane(const std::string& directory, int32_t partitions) : fds_(1000) {
    const auto topic = dataplane::make_topic(kTopic, Uuid{{1}}, {});
    for (int32_t i = 0; i < partitions; ++i) {
      topic->place(std::make_shared<dataplane::Partition>(
          topic->identity, i, 0,
          open_log(directory + "/" + kTopic + "-" + std::to_string(i), fds_)));
    }
    table_.put(topic);
  }

  /// Handles one whole frame as a reactor does: finds its end, reads its header, offers it.
  /// REQUIRES: a Produce or Fetch request that need not wait
  void offer(MutableBytes frame) {
    const net::FrameScan scan = net::scan_frame(frame, INT32_MAX);
    net::Request request;
    if (scan.status != net::FrameScan::Status::kComplete ||
        !net::parse_request_header(frame.first(scan.frame_bytes), request)) {
      die("not a frame");
    }
    request.peer_host = "127.0.0.1";
    request.api_key == 0 ? produce_.handle(request) : fetch_.handle(request);
  }

  void offer(Bytes&& frame) { offer(MutableBytes(frame)); }

  [[nodiscard]] const net::Response& last_answer() const { return server_.last; }
  [[nodiscard]] uint64_t answers() const { return server_.answers; }
  /// Bytes of records in the last answer, which stand in files.
  [[nodiscard]] uint64_t last_records_bytes() const {
    uint64_t bytes = 0;
    for (const auto& chunk : server_.last.chunks) {
      if (const auto* slice = std::get_if<FileSlice>(&chunk)) bytes += slice->length;
    }
    return bytes;
  }
  [[nodiscard]] std::shared_ptr<dataplane::Partition> partition(int32_t index) const {
    return table_.find(kTopic, index);
  }

 private:
  storage::FdCache fds_;
  dataplane::PartitionTable table_;
  KeepingServer server_;
  LogLimiter log_{"bench"};
  dataplane::DirectoryPools disk_threads_{"bench", 1, 1};
  dataplane::Flusher flusher_;
  dataplane::ControlQueue control_queue_{1, 1};
  dataplane::StalledDirectories stalled_;
  dataplane::Purgatory purgatory_{server_, 1};
  dataplane::FetchSessionCache sessions_{1000, stopped_clock()};
  dataplane::ProduceHandler produce_{
      table_,
      {server_, purgatory_, disk_threads_, flusher_, control_queue_, stalled_, stopped_clock()},
      1};
  dataplane::FetchHandler fetch_{
      table_, {server_, purgatory_, disk_threads_, sessions_, stopped_clock(), log_}, 1};
};

/// A Fetch session over many partitions, of which the first has one batch that the client never
/// gets beyond: what a consumer of many quiet partitions and a busy one asks, over and over.
class FetchSessionOfMany {
 public:
  explicit FetchSessionOfMany(BarePlane& plane, int32_t partitions) : plane_(plane) {
    Bytes first = fetch_frame({.partitions = partitions, .session_epoch = 0});
    plane_.offer(first);
    // correlation id, tagged fields, throttle time, error, then the session's id
    const auto& head = std::get<net::Bytes>(plane_.last_answer().chunks.front());
    const auto session_id = load_be<int32_t>(head.data() + 11);
    if (session_id == 0) die("there is no session");
    frame_ = fetch_frame({.partitions = 0, .session_id = session_id, .session_epoch = 0});
  }
  void fetch() {
    store_be<int32_t>(frame_.data() + kSessionEpochAt, ++epoch_);
    plane_.offer(frame_);
  }

 private:
  BarePlane& plane_;
  Bytes frame_;
  int32_t epoch_ = 0;
};

}  // namespace barnabas::bench
