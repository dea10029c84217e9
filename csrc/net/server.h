// The network server: listeners, N reactor threads (epoll), connections, frames in, responses out.
//
// It knows Kafka's framing and request header and nothing of any API. Every complete request goes
// to the RequestHandler, on the reactor thread of its connection; the answer comes back through
// respond(), from any thread, and leaves the connection in the order of the requests.
//
//   recv -> frame parser -> RequestHandler::on_request -> ... -> Server::respond -> ordered output
//   queue -> writev / sendfile
//
// Ownership: the Server owns reactors and connections, borrows handler and clock (they outlive it).
//
// Limits (Kafka's names): socket.request.max.bytes, max.connections, max.connections.per.ip,
// connections.max.idle.ms (of silence, and of the arrival of one request),
// queued.max.request.bytes (beyond it connections wait to be read from), in-flight requests and
// unsent output per connection (beyond them the connection is not read from), accept pauses on
// EMFILE/ENFILE.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"
#include "net/response.h"

namespace barnabas::net {

/// Names one request for its answer. Plain value; a token of a connection that is gone is ignored.
struct RequestToken {
  uint32_t reactor = 0;
  uint32_t connection = 0;  // slot in the reactor
  uint32_t generation = 0;  // of the slot: a reused slot has another
  uint32_t sequence = 0;    // of the request within its connection
};

/// One request, as the frame parser leaves it. Everything borrowed here is valid only during
/// on_request(); the handler copies what it keeps. `body` may be patched in place.
struct Request {
  RequestToken token;
  int16_t api_key = 0;
  int16_t api_version = 0;
  int32_t correlation_id = 0;
  std::optional<std::string_view> client_id;
  /// What follows the client id: for a flexible header version the header's tagged fields come
  /// first, then the message.
  MutableBytes body;
  std::string_view peer_host;  // numeric
  uint16_t peer_port = 0;
  int64_t received_ns = 0;  // monotonic
};

enum class Admission : uint8_t {
  kTaken,       // an answer will come through respond(); meanwhile the connection's next request
                // is offered
  kTakenAlone,  // the same, but the connection's next request waits until this one is answered:
                // the order in which they take effect is the order in which they were sent
  kBusy,        // a queue is full: the connection pauses, the same request is offered again after
                // resume_paused()
  kReject,      // not Kafka: close the connection
};

class RequestHandler {
 public:
  virtual ~RequestHandler() = default;
  /// Called on a reactor thread; must not block but in a BlockingScope. May call Server::respond()
  /// before it returns.
  virtual Admission on_request(const Request& request) = 0;
  /// A connection is gone: nobody waits for answers to its requests. Called on its reactor's
  /// thread; the sequence of the token means nothing.
  virtual void on_closed(const RequestToken& /*connection*/) {}
  /// The thread of reactor `index` is stuck in a BlockingScope of `resource`; the calling thread
  /// runs the reactor from here on.
  virtual void on_displaced(uint32_t /*index*/, const void* /*resource*/) {}
  /// It is stuck no more, and runs its reactor again.
  virtual void on_returned(const void* /*resource*/) {}
};

/// Work that a reactor runs on its own thread.
using Task = std::function<void()>;
using TimerId = uint64_t;

struct ServerConfig {
  int reactor_threads = 2;                         // num.network.threads
  int64_t socket_request_max_bytes = 100LL << 20;  // socket.request.max.bytes
  int64_t queued_max_request_bytes = -1;       // queued.max.request.bytes, -1: see RequestMemory
  int64_t connections_max_idle_ms = 600'000;   // connections.max.idle.ms
  int64_t max_connections = INT32_MAX;         // max.connections
  int64_t max_connections_per_ip = INT32_MAX;  // max.connections.per.ip
  int socket_send_buffer_bytes = 102400;       // socket.send.buffer.bytes, -1: the system's
  int socket_receive_buffer_bytes = 102400;    // socket.receive.buffer.bytes, -1
  int listen_backlog = 50;                     // socket.listen.backlog.size, at least 1024
  int max_in_flight_requests = 128;            // per connection
  int64_t max_unsent_bytes = 8LL << 20;        // per connection, of memory (not file ranges)
};

struct ServerStats {
  uint64_t connections = 0;  // open now
  uint64_t connections_total = 0;
  uint64_t requests_total = 0;
  uint64_t bytes_in = 0;
  uint64_t bytes_out = 0;
  int64_t request_bytes = 0;  // that requests hold which have not arrived to their end
};

class Server {
 public:
  static std::unique_ptr<Server> create(const ServerConfig& config, RequestHandler& handler,
                                        Clock& clock);
  virtual ~Server() = default;  // stop()s

  /// Binds; port 0 picks one. Returns the port. Clients queue in the backlog until start().
  virtual Result<uint16_t> listen(const std::string& host, uint16_t port) = 0;
  /// Starts the reactors, and accepts.
  virtual Status start() = 0;
  /// Stops accepting, sends what is queued for at most `grace_ms`, closes everything, joins.
  virtual void stop(int64_t grace_ms = 0) = 0;
  /// Limits that may change while running take effect at once.
  virtual void set_config(const ServerConfig& config) = 0;

  /// Answers a request. Any thread. From the connection's own reactor it is sent before control
  /// returns to epoll; from elsewhere through the reactor's mailbox (one wake-up for many).
  virtual void respond(RequestToken token, Response response) = 0;
  /// Whether the connection of `token` still exists. Only on its reactor's thread.
  [[nodiscard]] virtual bool is_connected(const RequestToken& token) const = 0;
  /// Runs `task` on reactor `index`. Any thread.
  virtual void post(uint32_t index, Task task) = 0;
  /// A timer on reactor `index`. Only on that reactor's thread.
  virtual TimerId add_timer(uint32_t index, int64_t deadline_monotonic_ns, Task task) = 0;
  virtual void cancel_timer(uint32_t index, TimerId id) = 0;
  /// Runs the timers that are due and waits for that. While it runs; not from a reactor.
  virtual void run_due_timers() = 0;
  /// Offers paused requests (Admission::kBusy) again. Any thread.
  virtual void resume_paused() = 0;

  [[nodiscard]] virtual ServerStats stats() const = 0;
  [[nodiscard]] virtual uint32_t reactor_count() const = 0;
  /// The reactor that runs the calling thread, or nullopt.
  [[nodiscard]] virtual std::optional<uint32_t> current_reactor() const = 0;
};

}  // namespace barnabas::net
