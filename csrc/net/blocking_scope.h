// Around a call that may wait for a disk: should it take long on a reactor's thread, another thread
// runs the reactor's loop meanwhile. On any other thread it does nothing.
//
// Inside of it the thread touches nothing of its reactor, nor what belongs to the reactor's thread;
// behind it everything is the thread's own again, but may have changed, as if the call had run a
// round of the loop. The request in service is safe: its connection is not read from meanwhile, and
// not freed, and what was received stays where it lies.
#pragma once

#include <cstdint>
#include <memory>

namespace barnabas::net {

class Reactor;
struct Connection;

class BlockingScope {
 public:
  /// `resource`: what is waited for, in RequestHandler::on_displaced() and on_returned().
  explicit BlockingScope(const void* resource);
  ~BlockingScope();
  BlockingScope(const BlockingScope&) = delete;
  BlockingScope& operator=(const BlockingScope&) = delete;

 private:
  friend class Reactor;

  Reactor* const reactor_;  // null on a thread that runs none
  const void* const resource_;
  uint64_t ticket_ = 0;
  // What the thread that took over has put aside.
  Connection* serving_ = nullptr;
  std::unique_ptr<uint8_t[]> scratch_;
};

}  // namespace barnabas::net
