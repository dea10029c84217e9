// One Fetch request from the reading to the answer.
//
//          +--------------------------- wake, timeout -----------------------------+
//          v                                                                       |
//   read (reactor) ----------------------> enough, an error, or no more time? -- no -> parked
//   read, bring in (disk thread, when --------^             | yes
//   something may be cold)                                  v
//                                                         answer
//
// Ownership: kept alive by the purgatory while parked, by the disk pool's task while there.
//
// Thread-safety: everything runs on the operation's reactor, except that while it is kOnDisk one
// disk thread has the entries to itself. count_visible() is called from anywhere.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/clock.h"
#include "dataplane/disk_pool.h"
#include "dataplane/fetch_response.h"
#include "dataplane/fetch_session.h"
#include "dataplane/purgatory.h"
#include "net/server.h"

namespace barnabas::dataplane {

/// What every fetch needs; outlives them.
struct FetchServices {
  net::Server& server;
  Purgatory& purgatory;
  DiskPool& disk_pool;
  FetchSessionCache& sessions;
  Clock& clock;
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
  bool from_follower = false;
  FetchSessionPtr session;    // kIncremental
  int32_t session_epoch = 0;  // kIncremental: what the session's epoch is as long as it is ours
  std::vector<FetchEntry> entries;
};

class FetchOperation final : public DelayedOperation {
 public:
  FetchOperation(FetchServices& services, FetchPlan plan);
  ~FetchOperation() override;

  void start() { read(); }

 private:
  enum class State : uint8_t { kReading, kOnDisk, kParked, kAnswered };

  void on_wake() override;
  void on_timeout() override;
  void on_stop() override { on_timeout(); }
  bool count_visible(uint64_t bytes) override;

  void read();
  void read_entries();
  void decide();
  [[nodiscard]] bool may_answer() const;
  void park();
  void go_to_disk();
  void bring_in_entries();
  void answer();
  void close_session_books();
  void remove_watches();

  FetchServices& services_;
  FetchPlan plan_;
  State state_ = State::kReading;
  bool expired_ = false;
  bool must_answer_ = false;  // an error, a divergence, or data that waiting cannot add to
  bool any_readable_ = false;
  uint64_t bytes_read_ = 0;             // found by the last read
  std::atomic<uint64_t> available_{0};  // bytes_read_ and what came since
};

}  // namespace barnabas::dataplane
