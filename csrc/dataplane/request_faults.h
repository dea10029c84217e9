// Requests that go wrong where a test says: which ones, and how. The engine does it (see
// engine_faults.cc).
//
// A rule concerns requests of one API, perhaps of one client id or one connection (the peer's
// port). Of several that match the one that was added first strikes, `times` requests of them.
//
// Thread-safety: every method may be called from any thread. any() is all that a broker without
// faults pays: one relaxed load a request.
#pragma once

#include <atomic>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "base/thread_annotations.h"
#include "net/server.h"

namespace barnabas::dataplane {

enum class RequestEffect : uint8_t {
  kFail,              // it does nothing, and is answered with the error `value`
  kDropBefore,        // it does nothing and is not answered
  kDropAfter,         // it does what it is to, but is not answered
  kDisconnectBefore,  // it does nothing, and its connection is closed
  kDisconnectAfter,   // it does what it is to; then its connection is closed, instead of the answer
  kDelay,             // it waits for `value` milliseconds, and what its connection sends after it
};

struct RequestFault {
  int16_t api_key = 0;
  RequestEffect effect = RequestEffect::kFail;
  int64_t value = 0;
  std::optional<std::string> client_id;
  std::optional<uint16_t> peer_port;
  uint64_t times = std::numeric_limits<uint64_t>::max();
};

class RequestFaults {
 public:
  [[nodiscard]] bool any() const { return any_.load(std::memory_order_relaxed); }

  /// Returns a number for the other calls.
  uint64_t add(RequestFault fault) EXCLUDES(mutex_);
  /// Ends it. Returns the requests that it has dropped, whose connections wait: they are to be
  /// closed; those that it delays are to be offered again.
  std::vector<net::RequestToken> remove(uint64_t id) EXCLUDES(mutex_);
  /// Nothing is struck any more; the counts stay.
  std::vector<net::RequestToken> end_all() EXCLUDES(mutex_);
  /// How many requests matched, and how many of them were struck. Zeroes for an unknown one.
  struct Count {
    uint64_t matched = 0;
    uint64_t struck = 0;
  };
  [[nodiscard]] Count count(uint64_t id) const EXCLUDES(mutex_);

  /// What strikes this request, if something does.
  struct Strike {
    uint64_t id = 0;
    RequestEffect effect = RequestEffect::kFail;
    int64_t value = 0;   // of kDelay: when it is over, monotonic ns
    bool again = false;  // of kDelay: it has been told before, and is not over yet
  };
  std::optional<Strike> strike(const net::Request& request, int64_t now_ns) EXCLUDES(mutex_);
  /// The request was not taken, and will be offered again: it does not count.
  void take_back(const Strike& strike) EXCLUDES(mutex_);
  /// The request was dropped: its connection waits until the fault is removed.
  void note_dropped(const Strike& strike, const net::RequestToken& token) EXCLUDES(mutex_);
  /// A connection is gone.
  void forget(const net::RequestToken& connection) EXCLUDES(mutex_);

 private:
  using Connection = std::tuple<uint32_t, uint32_t, uint32_t>;  // reactor, slot, generation
  struct Delay {
    uint64_t id = 0;  // of the fault
    int64_t until_ns = 0;
  };
  struct Dropped {
    uint64_t id = 0;
    net::RequestToken token;
  };
  struct Entry {
    RequestFault fault;
    Count count;
  };
  static Connection connection_of(const net::RequestToken& token) {
    return {token.reactor, token.connection, token.generation};
  }
  void update_any() REQUIRES(mutex_) {
    any_.store(!entries_.empty() || !delays_.empty() || !dropped_.empty());
  }

  std::atomic<bool> any_{false};
  mutable Mutex mutex_;
  std::map<uint64_t, Entry> entries_ GUARDED_BY(mutex_);
  std::map<Connection, Delay> delays_ GUARDED_BY(mutex_);
  std::map<Connection, Dropped> dropped_ GUARDED_BY(mutex_);
  uint64_t next_id_ GUARDED_BY(mutex_) = 1;
};

}  // namespace barnabas::dataplane
