// Looks after the reactors of a server: one whose thread is stuck in a call is given another thread
// (see Relay), Relay::kLookNs after it got stuck at the latest. It sleeps until the alarm of a
// relay rings, which calls put off as long as they come and go.
//
// Ownership: borrows the relays, which outlive stop().
//
// Thread-safety: start() and stop() from the owner's thread.
#pragma once

#include <thread>
#include <vector>

#include "base/result.h"
#include "net/alarm.h"
#include "net/poller.h"

namespace barnabas::net {

class Relay;

class Watchdog {
 public:
  ~Watchdog() { stop(); }
  /// REQUIRES: the loops of the relays do not run yet.
  Status start(std::vector<Relay*> relays);
  void stop();

 private:
  Status watch(const Alarm& alarm, size_t tag);
  void run();

  std::vector<Relay*> relays_;  // constant once started
  Alarm end_;                   // rings when the thread is to end
  Poller poller_;               // tags: of a relay its place in relays_; end_'s is past the last
  std::thread thread_;
};

}  // namespace barnabas::net
