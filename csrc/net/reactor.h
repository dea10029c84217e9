// One event loop and the connections that live on it. Spread over reactor.cc (connections) and
// reactor_loop.cc (rounds, and which thread runs them).
//
// A round: wait for events, read what is readable (whole frames go to the handler in place), take
// the mailbox, run due timers; after each, flush the connections that got answers. A connection
// stays on its reactor for life.
//
// Owns its connections. Borrows handler, clock, limits and memory, which outlive it.
//
// The thread that runs the loop may change where a call blocks (BlockingScope): what is done there
// is as if the call had run rounds of the loop. So nothing that a round walks is held across a call
// of the handler: connections are looked up again, lists are consumed from the front.
//
// Thread-safety: everything belongs to the thread that runs the loop, but for push(), which any
// thread may call, the relay and the counters.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "base/clock.h"
#include "base/log_limiter.h"
#include "net/buffer_pool.h"
#include "net/connection.h"
#include "net/connection_limits.h"
#include "net/mailbox.h"
#include "net/poller.h"
#include "net/relay.h"
#include "net/request_memory.h"
#include "net/server.h"
#include "net/timer_queue.h"

namespace barnabas::net {

class BlockingScope;

class Reactor {
 public:
  static Result<std::unique_ptr<Reactor>> create(uint32_t index, const ServerConfig& config,
                                                 RequestHandler& handler, ConnectionLimits& limits,
                                                 RequestMemory& memory, Clock& clock);
  Reactor(const Reactor&) = delete;
  Reactor& operator=(const Reactor&) = delete;

  /// The loop; returns after stop, on whatever thread runs it then.
  void run();
  Relay& relay() { return relay_; }
  /// Closes what it has waited with. REQUIRES: the loop has ended, and the relay was joined
  void close_descriptors() {
    poller_.close();
    mailbox_.close();
  }
  /// For any thread. After the loop ended, messages are dropped.
  void push(Mailbox::Message message) { mailbox_.push(std::move(message)); }
  /// The reactor whose loop the calling thread runs, or nullptr.
  static Reactor* current();
  [[nodiscard]] uint32_t index() const { return index_; }

  // -- on the reactor's thread ------------------------------------------------------------------
  void adopt(UniqueFd socket, Peer peer);
  void complete(const RequestToken& token, Response response);
  TimerId add_timer(int64_t deadline_ns, Task task) {
    return timers_.add(deadline_ns, std::move(task));
  }
  void cancel_timer(TimerId id) { timers_.cancel(id); }
  [[nodiscard]] bool is_connected(const RequestToken& token) {
    return find(token.connection, token.generation) != nullptr;
  }
  /// Calls `on_ready` whenever `fd` is readable, until unwatch(). For listeners.
  void watch(int fd, Task on_ready);
  void set_watch_enabled(int fd, bool enabled);
  /// For any thread: offers paused requests again, soon. Several calls before that are one.
  void request_resume();
  void set_config(const ServerConfig& config) { config_ = config; }
  /// Reads no more requests; ends the loop when every answer is out, at `deadline_ns` at the
  /// latest.
  void begin_stop(int64_t deadline_ns);

  // -- counters, any thread ---------------------------------------------------------------------
  struct Counters {
    std::atomic<uint64_t> connections{0};
    std::atomic<uint64_t> connections_total{0};
    std::atomic<uint64_t> requests_total{0};
    std::atomic<uint64_t> bytes_in{0};
    std::atomic<uint64_t> bytes_out{0};
  };
  [[nodiscard]] const Counters& counters() const { return counters_; }

 private:
  friend class BlockingScope;

  struct Watch {
    int fd;
    Task on_ready;
  };

  Reactor(uint32_t index, const ServerConfig& config, RequestHandler& handler,
          ConnectionLimits& limits, RequestMemory& memory, Clock& clock, Poller poller,
          UniqueFd eventfd);

  static std::unique_ptr<uint8_t[]> make_scratch();
  void run_as_spare();
  void run_rounds();
  void run_round();
  void close_all();
  void free_closed();
  /// Goes on with the loop of a thread that is stuck.
  void take_over();
  /// Waits for the loop that was taken over.
  void come_back(BlockingScope& stuck);
  void handle_event(const epoll_event& event);
  void take_mailbox();
  void on_readable(Connection& connection);
  bool receive_into_scratch(Connection& connection, bool& more);
  bool receive_into_input(Connection& connection, bool& more);
  bool may_buffer(Connection& connection, size_t frame_bytes);
  void recount_memory(Connection& connection);
  void pause(Connection& connection, bool& reason);
  bool note_received(Connection& connection, ssize_t received, size_t asked, bool& more);
  size_t process(Connection& connection, MutableBytes bytes);
  bool process_input(Connection& connection);
  bool offer(Connection& connection, MutableBytes frame);
  void resume_paused();
  [[nodiscard]] bool wants_requests(const Connection& connection) const;
  void mark_dirty(Connection& connection);
  void flush_dirty();
  void flush(Connection& connection);
  void update_interest(Connection& connection);
  void close(Connection& connection, const char* why);
  Connection* find(uint32_t slot, uint32_t generation);
  void reap_idle();
  [[nodiscard]] bool drained() const;

  const uint32_t index_;
  ServerConfig config_;
  RequestHandler& handler_;
  ConnectionLimits& limits_;
  RequestMemory& memory_;
  Clock& clock_;
  Poller poller_;
  Mailbox mailbox_;
  TimerQueue timers_;
  std::vector<Mailbox::Message> messages_;  // being handled; kept for its storage
  size_t next_message_ = 0;
  BufferPool pool_;  // outlives the connections
  std::vector<Watch> watches_;

  std::vector<std::unique_ptr<Connection>> connections_;  // by slot; null: free
  std::vector<uint32_t> generations_;                     // by slot
  std::vector<uint32_t> free_slots_;
  std::vector<std::unique_ptr<Connection>> closed_;  // freed at the end of the round
  std::vector<Connection*> dirty_;
  size_t next_dirty_ = 0;
  std::deque<std::pair<uint32_t, uint32_t>> paused_;  // slot, generation: busy or starved
  std::unique_ptr<uint8_t[]> scratch_;  // what recv fills first, shared by all connections
  LogLimiter close_log_{"net"};

  Relay relay_;
  BlockingScope* innermost_ = nullptr;  // the last that was entered
  Connection* serving_ = nullptr;       // whose request the handler has
  int displaced_ = 0;                   // threads that are stuck, or claim the loop
  uint64_t tenure_ = 0;                 // how often the loop went to another thread

  std::atomic<bool> resume_requested_{false};
  bool stopping_ = false;
  int64_t stop_deadline_ns_ = 0;
  Counters counters_;
};

}  // namespace barnabas::net
