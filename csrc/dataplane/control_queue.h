// Requests for the broker loop, and the way back: a bounded queue with an eventfd for its sleeper,
// and the table that turns a 64-bit token into the request it names. Most come from connections;
// the data plane has some of its own.
//
// Thread-safety: safe from every thread.
//
// Limits: queued.max.requests and queued.max.request.bytes (RequestMemory::limit_of), waiting to be
// taken; beyond them offer() says kBusy, and take() says
// that paused connections may be offered again. Requests taken and not yet answered are bounded by
// the connections: one request each, as the server lets no other overtake it.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <unordered_map>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "base/thread_annotations.h"
#include "dataplane/control_request.h"
#include "net/server.h"

namespace barnabas::dataplane {

/// Gets the answer to a request of the data plane's own: response header and body, nullopt when
/// there is none. Called on the thread that answers, with no lock held; destroyed uncalled when the
/// engine stops.
using OwnReply = std::function<void(std::optional<std::vector<uint8_t>>)>;

class ControlQueue {
 public:
  ControlQueue(size_t max_queued, size_t max_queued_bytes)
      : max_queued_(max_queued), max_queued_bytes_(max_queued_bytes) {}
  Status open();

  /// What becomes of the answer, when a test wants it so.
  enum class Answer : uint8_t { kGiven, kNone, kClose };
  /// `fault`: the error that it is to be answered with, whatever it asks for; 0: none.
  net::Admission offer(const net::Request& request, int16_t fault = 0,
                       Answer answer = Answer::kGiven) EXCLUDES(mutex_);
  /// A request of the data plane's own. kBusy as for offer(): whoever waits for it is to be offered
  /// again.
  net::Admission offer_own(ControlRequest request, OwnReply reply) EXCLUDES(mutex_);
  struct Taken {
    std::vector<ControlRequest> requests;
    bool resume = false;  // somebody was told kBusy and there is room now
  };
  Taken take(size_t limit) EXCLUDES(mutex_);
  struct Asker {
    net::RequestToken request;
    OwnReply reply;  // not empty: it was a request of the data plane's own
    Answer answer = Answer::kGiven;
  };
  /// Who asked, once.
  std::optional<Asker> redeem(uint64_t token) EXCLUDES(mutex_);

  /// Takes no more requests: offer() rejects; fd() is closed. Returns the clients' that nobody will
  /// answer any more.
  std::vector<net::RequestToken> stop() EXCLUDES(mutex_);

  /// Readable while take() would return something.
  [[nodiscard]] int fd() const { return event_.get(); }
  void set_limits(size_t max_queued, size_t max_queued_bytes) EXCLUDES(mutex_);
  [[nodiscard]] size_t queued() const EXCLUDES(mutex_);

 private:
  [[nodiscard]] bool has_room(size_t body_bytes) const REQUIRES(mutex_);
  net::Admission queue(ControlRequest control, Asker asker) EXCLUDES(mutex_);

  UniqueFd event_;  // constant from open() to stop()
  mutable Mutex mutex_;
  size_t max_queued_ GUARDED_BY(mutex_);
  size_t max_queued_bytes_ GUARDED_BY(mutex_);
  std::deque<ControlRequest> queue_ GUARDED_BY(mutex_);
  size_t queued_bytes_ GUARDED_BY(mutex_) = 0;                     // of bodies in queue_
  std::unordered_map<uint64_t, Asker> askers_ GUARDED_BY(mutex_);  // by token
  uint64_t next_token_ GUARDED_BY(mutex_) = 1;
  bool refused_ GUARDED_BY(mutex_) = false;
  bool stopped_ GUARDED_BY(mutex_) = false;
};

}  // namespace barnabas::dataplane
