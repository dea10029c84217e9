#include "net/server.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <latch>
#include <thread>
#include <utility>
#include <vector>

#include "base/log_limiter.h"
#include "base/logger.h"
#include "base/thread_annotations.h"
#include "net/listener.h"
#include "net/reactor.h"
#include "net/watchdog.h"

namespace barnabas::net {
namespace {

constexpr int kMaxAcceptsPerRound = 64;
// Kafka's 50 overflows when a herd of clients reconnects, and each that does not fit waits for TCP
// to try again, after one second, three, seven.
constexpr int kMinListenBacklog = 1024;
constexpr int64_t kAcceptPauseMs = 100;  // until a descriptor, or a connection, may be free again

class ServerImpl final : public Server {
 public:
  ServerImpl(const ServerConfig& config, RequestHandler& handler, Clock& clock)
      : handler_(handler),
        clock_(clock),
        memory_(RequestMemory::limit_of(config.queued_max_request_bytes),
                [this] { resume_paused(); }),
        config_(config) {
    limits_.set(config.max_connections, config.max_connections_per_ip);
  }
  ~ServerImpl() override { stop(0); }

  Result<uint16_t> listen(const std::string& host, uint16_t port) override;
  Status start() override;
  void stop(int64_t grace_ms) override;
  void set_config(const ServerConfig& config) override;
  void respond(RequestToken token, Response response) override;
  [[nodiscard]] bool is_connected(const RequestToken& token) const override {
    return reactors_[token.reactor]->is_connected(token);
  }
  void post(uint32_t index, Task task) override;
  TimerId add_timer(uint32_t index, int64_t deadline_monotonic_ns, Task task) override;
  void cancel_timer(uint32_t index, TimerId id) override;
  void run_due_timers() override;
  void resume_paused() override;
  [[nodiscard]] ServerStats stats() const override;
  [[nodiscard]] uint32_t reactor_count() const override {
    return static_cast<uint32_t>(reactors_.size());
  }
  [[nodiscard]] std::optional<uint32_t> current_reactor() const override;

 private:
  enum class State : uint8_t { kNew, kRunning, kStopped };

  Status make_reactors() REQUIRES(mutex_);
  Status start_watchdog() REQUIRES(mutex_);
  void accept_from(const UniqueFd& listener);
  void accept_some(const UniqueFd& listener);
  void hand_over(Accepted accepted);
  void pause_accepting(const UniqueFd& listener, const std::string& why);

  RequestHandler& handler_;
  Clock& clock_;
  ConnectionLimits limits_;
  RequestMemory memory_;

  mutable Mutex mutex_;
  State state_ GUARDED_BY(mutex_) = State::kNew;
  ServerConfig config_ GUARDED_BY(mutex_);
  std::vector<std::unique_ptr<const UniqueFd>> listeners_ GUARDED_BY(mutex_);
  std::vector<std::thread> threads_ GUARDED_BY(mutex_);
  Watchdog watchdog_;
  // Constant once start() returned; never cleared, so that late answers have somewhere to go.
  std::vector<std::unique_ptr<Reactor>> reactors_;
  std::atomic<bool> running_{false};  // reactors_ may be used

  // Of reactor 0's thread, which accepts.
  uint32_t next_reactor_ = 0;
  LogLimiter refusal_log_{"net"};
  bool accepting_ = true;  // false from a failed accept to the next that works, for the log
};

Result<uint16_t> ServerImpl::listen(const std::string& host, uint16_t port) {
  MutexLock lock(mutex_);
  if (state_ == State::kStopped) {
    return Error{ErrorCode::kNetworkException, "the server has stopped", 0};
  }
  BARNABAS_ASSIGN(auto opened,
                  open_listeners(host, port,
                                 {.backlog = std::max(config_.listen_backlog, kMinListenBacklog),
                                  .receive_buffer_bytes = config_.socket_receive_buffer_bytes}));
  BARNABAS_ASSIGN(const uint16_t bound, bound_port(opened.front()));
  for (UniqueFd& fd : opened) {
    listeners_.push_back(std::make_unique<const UniqueFd>(std::move(fd)));
    const UniqueFd* const listener = listeners_.back().get();
    if (state_ == State::kRunning) {
      reactors_[0]->push(Task([this, listener] { accept_from(*listener); }));
    }
  }
  return bound;
}

Status ServerImpl::make_reactors() {
  for (int i = 0; i < config_.reactor_threads; ++i) {
    BARNABAS_ASSIGN(auto reactor, Reactor::create(static_cast<uint32_t>(i), config_, handler_,
                                                  limits_, memory_, clock_));
    reactors_.push_back(std::move(reactor));
  }
  return {};
}

Status ServerImpl::start_watchdog() {
  std::vector<Relay*> relays;
  for (const auto& owned : reactors_) relays.push_back(&owned->relay());
  return watchdog_.start(std::move(relays));
}

Status ServerImpl::start() {
  MutexLock lock(mutex_);
  if (state_ != State::kNew) {
    return Error{ErrorCode::kNetworkException, "the server was started before", 0};
  }
  BARNABAS_TRY(make_reactors());
  BARNABAS_TRY(start_watchdog());
  for (const auto& owned : listeners_) {
    accept_from(*owned);
  }
  running_.store(true, std::memory_order_release);
  for (const auto& owned : reactors_) {
    threads_.emplace_back([reactor = owned.get()] { reactor->run(); });
  }
  state_ = State::kRunning;
  return {};
}

void ServerImpl::stop(int64_t grace_ms) {
  MutexLock lock(mutex_);
  if (state_ == State::kRunning) {
    const int64_t deadline_ns = clock_.monotonic_ns() + grace_ms * kNsPerMs;
    for (const auto& owned : reactors_) {
      owned->push(Task([reactor = owned.get(), deadline_ns] { reactor->begin_stop(deadline_ns); }));
    }
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
    watchdog_.stop();
    for (const auto& owned : reactors_) owned->relay().join();
    running_.store(false, std::memory_order_release);
    for (const auto& owned : reactors_) owned->close_descriptors();
  }
  listeners_.clear();
  state_ = State::kStopped;
}

void ServerImpl::set_config(const ServerConfig& config) {
  MutexLock lock(mutex_);
  const int threads = config_.reactor_threads;  // fixed for the server's life
  config_ = config;
  config_.reactor_threads = threads;
  limits_.set(config.max_connections, config.max_connections_per_ip);
  memory_.set_limit(RequestMemory::limit_of(config.queued_max_request_bytes));
  if (state_ != State::kRunning) return;
  for (const auto& owned : reactors_) {
    owned->push(Task([reactor = owned.get(), copy = config_] { reactor->set_config(copy); }));
  }
}

void ServerImpl::respond(RequestToken token, Response response) {
  if (!running_.load(std::memory_order_acquire) || token.reactor >= reactors_.size()) return;
  Reactor* const reactor = reactors_[token.reactor].get();
  if (Reactor::current() == reactor) {
    reactor->complete(token, std::move(response));
  } else {
    reactor->push(Mailbox::Answer(token, std::move(response)));
  }
}

void ServerImpl::post(uint32_t index, Task task) {
  if (!running_.load(std::memory_order_acquire) || index >= reactors_.size()) return;
  reactors_[index]->push(std::move(task));
}

TimerId ServerImpl::add_timer(uint32_t index, int64_t deadline_monotonic_ns, Task task) {
  return reactors_[index]->add_timer(deadline_monotonic_ns, std::move(task));
}

void ServerImpl::cancel_timer(uint32_t index, TimerId id) { reactors_[index]->cancel_timer(id); }

void ServerImpl::run_due_timers() {
  // A round takes the mailbox before it runs timers: at the second task the first one's have run.
  for (int round = 0; round < 2; ++round) {
    std::latch passed(static_cast<ptrdiff_t>(reactors_.size()));
    for (uint32_t i = 0; i < reactors_.size(); ++i) post(i, [&passed] { passed.count_down(); });
    passed.wait();
  }
}

void ServerImpl::resume_paused() {
  if (!running_.load(std::memory_order_acquire)) return;
  for (const auto& reactor : reactors_) reactor->request_resume();
}

ServerStats ServerImpl::stats() const {
  ServerStats sum;
  if (!running_.load(std::memory_order_acquire)) return sum;
  for (const auto& reactor : reactors_) {
    const Reactor::Counters& counters = reactor->counters();
    sum.connections += counters.connections;
    sum.connections_total += counters.connections_total;
    sum.requests_total += counters.requests_total;
    sum.bytes_in += counters.bytes_in;
    sum.bytes_out += counters.bytes_out;
  }
  sum.request_bytes = memory_.used_bytes();
  return sum;
}

std::optional<uint32_t> ServerImpl::current_reactor() const {
  const Reactor* const reactor = Reactor::current();
  if (reactor == nullptr || !running_.load(std::memory_order_acquire)) return std::nullopt;
  if (reactor->index() >= reactors_.size() || reactors_[reactor->index()].get() != reactor) {
    return std::nullopt;  // another server's
  }
  return reactor->index();
}

// -- accepting: on reactor 0, or before it runs -------------------------------------------------

void ServerImpl::accept_from(const UniqueFd& listener) {
  reactors_[0]->watch(listener.get(), [this, &listener] { accept_some(listener); });
}

void ServerImpl::accept_some(const UniqueFd& listener) {
  for (int i = 0; i < kMaxAcceptsPerRound; ++i) {
    if (limits_.full()) return pause_accepting(listener, "max.connections is reached");
    Accepted accepted = accept_connection(listener);
    switch (accepted.sys_errno) {
      case 0:
        accepting_ = true;
        hand_over(std::move(accepted));
        break;
      case EAGAIN:
        return;
      case ECONNABORTED:  // the client gave up before we came, or its network failed:
      case EPROTO:        // nothing is wrong with the listener
      case EPERM:
      case ENETDOWN:
      case ENETUNREACH:
      case EHOSTDOWN:
      case EHOSTUNREACH:
        break;
      default:
        return pause_accepting(listener, std::strerror(accepted.sys_errno));
    }
  }
}

void ServerImpl::hand_over(Accepted accepted) {
  if (const char* limit = limits_.acquire(accepted.peer.host); limit != nullptr) {
    refusal_log_.log(
        LogLevel::kWarning,
        "refusing a connection of " + accepted.peer.host + ": " + limit + " is reached",
        clock_.monotonic_ns());
    return;
  }
  Reactor* const target = reactors_[next_reactor_++ % reactors_.size()].get();
  if (target == Reactor::current()) {
    return target->adopt(std::move(accepted.socket), std::move(accepted.peer));
  }
  // A task must be copyable, a socket is not.
  auto socket = std::make_shared<UniqueFd>(std::move(accepted.socket));
  target->push(Task([target, socket, peer = std::move(accepted.peer)] {
    target->adopt(std::move(*socket), peer);
  }));
}

/// Out of connections, descriptors or memory: clients wait in the backlog, those connected are
/// served on.
void ServerImpl::pause_accepting(const UniqueFd& listener, const std::string& why) {
  if (std::exchange(accepting_, false)) {
    log(LogLevel::kWarning, "net", "accepting pauses until it works again: " + why);
  }
  Reactor& reactor = *reactors_[0];
  const int fd = listener.get();
  reactor.set_watch_enabled(fd, false);
  reactor.add_timer(clock_.monotonic_ns() + kAcceptPauseMs * kNsPerMs,
                    [&reactor, fd] { reactor.set_watch_enabled(fd, true); });
}

}  // namespace

std::unique_ptr<Server> Server::create(const ServerConfig& config, RequestHandler& handler,
                                       Clock& clock) {
  return std::make_unique<ServerImpl>(config, handler, clock);
}

}  // namespace barnabas::net
