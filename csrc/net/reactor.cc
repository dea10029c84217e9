#include "net/reactor.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <utility>

#include "base/logger.h"
#include "net/frame_parser.h"

namespace barnabas::net {
namespace {

constexpr size_t kScratchBytes = 256 << 10;
constexpr int kMaxReadsPerRound = 8;  // of one connection, for fairness
constexpr int64_t kLongestIdleScanMs = 10'000;
constexpr int64_t kShortestIdleScanMs = 10;

// Tags of what the poller watches besides connections; those are generation << 32 | slot, and a
// generation never reaches the upper half.
constexpr uint64_t kMailboxTag = UINT64_MAX;
constexpr uint64_t kWatchTag = 1ULL << 63;

uint64_t tag_of(const Connection& connection) {
  return static_cast<uint64_t>(connection.generation) << 32 | connection.slot;
}

}  // namespace

Result<std::unique_ptr<Reactor>> Reactor::create(uint32_t index, const ServerConfig& config,
                                                 RequestHandler& handler, ConnectionLimits& limits,
                                                 RequestMemory& memory, Clock& clock) {
  BARNABAS_ASSIGN(Poller poller, Poller::create());
  BARNABAS_ASSIGN(UniqueFd eventfd, Mailbox::create_eventfd());
  BARNABAS_TRY(poller.add(eventfd.get(), EPOLLIN, kMailboxTag));
  return std::unique_ptr<Reactor>(new Reactor(index, config, handler, limits, memory, clock,
                                              std::move(poller), std::move(eventfd)));
}

Reactor::Reactor(uint32_t index, const ServerConfig& config, RequestHandler& handler,
                 ConnectionLimits& limits, RequestMemory& memory, Clock& clock, Poller poller,
                 UniqueFd eventfd)
    : index_(index),
      config_(config),
      handler_(handler),
      limits_(limits),
      memory_(memory),
      clock_(clock),
      poller_(std::move(poller)),
      mailbox_(std::move(eventfd)),
      scratch_(make_scratch()),
      relay_([this] { run_as_spare(); }, [this] { push(Task([] {})); }) {}

std::unique_ptr<uint8_t[]> Reactor::make_scratch() {
  return std::unique_ptr<uint8_t[]>(new uint8_t[kScratchBytes]);
}

void Reactor::handle_event(const epoll_event& event) {
  const uint64_t tag = event.data.u64;
  if (tag == kMailboxTag) return mailbox_.clear_wakeup();
  if ((tag & kWatchTag) != 0) {
    const int fd = static_cast<int>(tag & UINT32_MAX);
    const auto found =
        std::find_if(watches_.begin(), watches_.end(), [fd](const Watch& w) { return w.fd == fd; });
    if (found != watches_.end()) found->on_ready();
    return;
  }
  Connection* const connection =
      find(static_cast<uint32_t>(tag & UINT32_MAX), static_cast<uint32_t>(tag >> 32));
  if (connection == nullptr) return;  // closed earlier in this round
  if ((event.events & EPOLLOUT) != 0) {
    connection->blocked = false;
    mark_dirty(*connection);
  }
  if ((event.events & EPOLLIN) != 0) {
    on_readable(*connection);
  } else if ((event.events & (EPOLLERR | EPOLLHUP | EPOLLRDHUP)) != 0) {
    // Also when nothing is read from it: a peer that is gone must not hold its slot.
    close(*connection, nullptr);
  }
}

void Reactor::take_mailbox() {
  // One that is stuck in a message leaves the others to the thread that takes over.
  if (next_message_ == messages_.size()) {
    mailbox_.take(messages_);
    next_message_ = 0;
  }
  while (next_message_ < messages_.size()) {
    Mailbox::Message message = std::move(messages_[next_message_++]);
    if (auto* answer = std::get_if<Mailbox::Answer>(&message)) {
      complete(answer->first, std::move(answer->second));
    } else {
      std::get<Task>(message)();
    }
  }
}

void Reactor::adopt(UniqueFd socket, Peer peer) {
  if (stopping_) return limits_.release(peer.host);
  const int on = 1;
  ::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  ::setsockopt(socket.get(), SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  const auto set_buffer = [&](int option, int bytes) {
    if (bytes > 0) ::setsockopt(socket.get(), SOL_SOCKET, option, &bytes, sizeof bytes);
  };
  set_buffer(SO_SNDBUF, config_.socket_send_buffer_bytes);
  set_buffer(SO_RCVBUF, config_.socket_receive_buffer_bytes);
  if (free_slots_.empty()) {
    free_slots_.push_back(static_cast<uint32_t>(connections_.size()));
    connections_.emplace_back();
    generations_.push_back(0);
  }
  const uint32_t slot = free_slots_.back();
  free_slots_.pop_back();
  auto connection = std::make_unique<Connection>(std::move(socket), std::move(peer), slot,
                                                 generations_[slot], pool_);
  connection->last_progress_ns = clock_.monotonic_ns();
  connection->interest = EPOLLIN;
  ++counters_.connections;
  ++counters_.connections_total;
  const Status added = poller_.add(connection->fd.get(), EPOLLIN, tag_of(*connection));
  Connection& adopted = *connection;
  connections_[slot] = std::move(connection);
  if (!added.ok()) close(adopted, added.error().message.c_str());
}

void Reactor::watch(int fd, Task on_ready) {
  const Status added = poller_.add(fd, EPOLLIN, kWatchTag | static_cast<uint32_t>(fd));
  if (!added.ok()) return log(LogLevel::kError, "net", added.error().message);
  watches_.push_back({fd, std::move(on_ready)});
}

void Reactor::set_watch_enabled(int fd, bool enabled) {
  if (std::none_of(watches_.begin(), watches_.end(), [fd](const Watch& w) { return w.fd == fd; })) {
    return;  // the reactor stops: nothing is watched any more
  }
  const Status changed =
      poller_.modify(fd, enabled ? EPOLLIN : 0U, kWatchTag | static_cast<uint32_t>(fd));
  if (!changed.ok()) log(LogLevel::kError, "net", changed.error().message);
}

Connection* Reactor::find(uint32_t slot, uint32_t generation) {
  if (slot >= connections_.size() || connections_[slot] == nullptr) return nullptr;
  return generations_[slot] == generation ? connections_[slot].get() : nullptr;
}

// -- reading ------------------------------------------------------------------------------------

bool Reactor::wants_requests(const Connection& connection) const {
  return !connection.busy && !connection.starved && !connection.alone && !connection.draining &&
         !connection.pinned && !connection.output.closing() &&
         connection.output.in_flight() < static_cast<size_t>(config_.max_in_flight_requests) &&
         connection.output.unsent_bytes() < config_.max_unsent_bytes;
}

void Reactor::on_readable(Connection& connection) {
  connection.more_arrived = connection.alone;
  bool more = true;
  for (int reads = 0; more && reads < kMaxReadsPerRound && wants_requests(connection); ++reads) {
    const bool open = connection.input.empty() ? receive_into_scratch(connection, more)
                                               : receive_into_input(connection, more);
    if (!open) return;
  }
  if (!connection.dirty) update_interest(connection);  // else once its answers are flushed
}

/// Counts what recv gave; false when the connection was closed because of it.
bool Reactor::note_received(Connection& connection, ssize_t received, size_t asked, bool& more) {
  more = received == static_cast<ssize_t>(asked);
  if (received > 0) {
    counters_.bytes_in.fetch_add(static_cast<uint64_t>(received), std::memory_order_relaxed);
    connection.last_receive_ns = connection.last_progress_ns = clock_.monotonic_ns();
    return true;
  }
  if (received < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) return true;
  close(connection, nullptr);
  return false;
}

bool Reactor::receive_into_scratch(Connection& connection, bool& more) {
  const size_t asked = memory_.has_room() ? kScratchBytes : RequestMemory::kSmallFrameBytes;
  const ssize_t n = ::recv(connection.fd.get(), scratch_.get(), asked, MSG_DONTWAIT);
  if (!note_received(connection, n, asked, more)) return false;
  if (n <= 0) return true;
  const MutableBytes received(scratch_.get(), static_cast<size_t>(n));
  const uint32_t generation = connection.generation;
  const uint32_t slot = connection.slot;
  const size_t used = process(connection, received);
  if (find(slot, generation) == nullptr) return false;
  connection.input.append(received.subspan(used));
  connection.frame_started_ns = connection.last_receive_ns;
  recount_memory(connection);
  return true;
}

/// Whether `connection` may hold more of a frame of that size; if not, it is paused.
bool Reactor::may_buffer(Connection& connection, size_t frame_bytes) {
  const auto allowed = [&] {
    return memory_.has_room() || connection.overdrawn ||
           (connection.overdrawn = memory_.overdraw());
  };
  if (frame_bytes <= RequestMemory::kSmallFrameBytes || allowed()) return true;
  memory_.wait();
  if (allowed()) return true;
  pause(connection, connection.starved);
  return false;
}

void Reactor::recount_memory(Connection& connection) {
  const size_t now = connection.input.capacity();
  const size_t before = std::exchange(connection.counted_bytes, now);
  if (connection.overdrawn && connection.input.empty()) {
    connection.overdrawn = false;
    memory_.end_overdraft();
  }
  if (now != before) memory_.add(static_cast<int64_t>(now) - static_cast<int64_t>(before));
}

void Reactor::pause(Connection& connection, bool& reason) {
  if (!connection.busy && !connection.starved) {
    paused_.emplace_back(connection.slot, connection.generation);
  }
  reason = true;
}

bool Reactor::receive_into_input(Connection& connection, bool& more) {
  const FrameScan scan = scan_frame(connection.input.bytes(), config_.socket_request_max_bytes);
  // Up to the end of the frame and no further: what follows goes through the shared buffer again.
  const size_t total = scan.frame_bytes == 0 ? kFramePrefixBytes : scan.frame_bytes;
  const size_t have = connection.input.bytes().size();
  if (have >= total) return process_input(connection);
  if (connection.input.is_full() && !may_buffer(connection, total)) return true;
  const MutableBytes room = connection.input.room(total - have);
  recount_memory(connection);
  const ssize_t n = ::recv(connection.fd.get(), room.data(), room.size(), MSG_DONTWAIT);
  if (!note_received(connection, n, room.size(), more)) return false;
  if (n <= 0) return true;
  connection.input.commit(static_cast<size_t>(n));
  return process_input(connection);
}

/// Handles the whole frames in `input`; false when the connection was closed.
bool Reactor::process_input(Connection& connection) {
  const uint32_t generation = connection.generation;
  const uint32_t slot = connection.slot;
  const size_t used = process(connection, connection.input.bytes());
  if (find(slot, generation) == nullptr) return false;
  if (used > 0) {
    connection.input.consume(used);
    connection.frame_started_ns = connection.last_receive_ns;
    recount_memory(connection);
  }
  return true;
}

/// Offers the whole frames of `bytes` to the handler while the connection may have more; returns
/// the bytes used. The connection may be closed afterwards.
size_t Reactor::process(Connection& connection, MutableBytes bytes) {
  size_t used = 0;
  while (wants_requests(connection)) {
    const FrameScan scan = scan_frame(bytes.subspan(used), config_.socket_request_max_bytes);
    if (scan.status == FrameScan::Status::kInvalid) {
      close(connection, scan.reason);
      return used;
    }
    if (scan.status == FrameScan::Status::kIncomplete) return used;
    const uint32_t generation = connection.generation;
    const uint32_t slot = connection.slot;
    if (!offer(connection, bytes.subspan(used, scan.frame_bytes))) return used;
    if (find(slot, generation) == nullptr) return used;
    used += scan.frame_bytes;
  }
  return used;
}

/// False when the frame was not taken: the connection is busy now, or closed.
bool Reactor::offer(Connection& connection, MutableBytes frame) {
  Request request;
  if (!parse_request_header(frame, request)) {
    close(connection, "a request header that does not fit its frame");
    return false;
  }
  request.peer_host = connection.peer.host;
  request.peer_port = connection.peer.port;
  request.received_ns = connection.last_receive_ns;
  request.token = {index_, connection.slot, connection.generation, connection.output.open_slot()};
  const uint32_t sequence = request.token.sequence;
  serving_ = &connection;
  const Admission admission = handler_.on_request(request);
  serving_ = nullptr;
  if (admission == Admission::kTakenAlone && !connection.output.answered(sequence)) {
    connection.alone = true;
    connection.alone_sequence = sequence;
  }
  if (admission == Admission::kTaken || admission == Admission::kTakenAlone) {
    counters_.requests_total.fetch_add(1, std::memory_order_relaxed);
    return true;
  }
  if (admission == Admission::kReject) {
    close(connection, "a request that is not Kafka's");
    return false;
  }
  connection.output.drop_last_slot();
  pause(connection, connection.busy);
  return false;
}

void Reactor::request_resume() {
  if (resume_requested_.exchange(true)) return;
  push(Task([this] {
    // Before the requests are offered: whoever makes room after this must be heard again.
    resume_requested_.store(false);
    resume_paused();
  }));
}

void Reactor::resume_paused() {
  for (size_t left = paused_.size(); left > 0 && !paused_.empty(); --left) {
    const auto [slot, generation] = paused_.front();
    paused_.pop_front();
    Connection* const connection = find(slot, generation);
    if (connection == nullptr) continue;
    connection->busy = connection->starved = false;
    if (process_input(*connection)) update_interest(*connection);
  }
}

// -- writing ------------------------------------------------------------------------------------

void Reactor::complete(const RequestToken& token, Response response) {
  Connection* const connection = find(token.connection, token.generation);
  if (connection == nullptr) return;
  connection->output.complete(token.sequence, std::move(response));
  if (connection->alone && connection->alone_sequence == token.sequence) {
    connection->alone = connection->more_arrived = false;
  }
  mark_dirty(*connection);  // a flush goes on with the requests that waited
}

void Reactor::mark_dirty(Connection& connection) {
  if (connection.dirty) return;
  connection.dirty = true;
  dirty_.push_back(&connection);
}

void Reactor::flush_dirty() {
  // Grows while it is walked: a flush makes room for requests, whose answers want flushing. One
  // that is stuck in a flush leaves the others to the thread that takes over, and finds a new list.
  while (next_dirty_ < dirty_.size()) {
    Connection& connection = *dirty_[next_dirty_++];
    connection.dirty = false;
    if (find(connection.slot, connection.generation) != &connection) continue;
    flush(connection);
  }
  dirty_.clear();
  next_dirty_ = 0;
}

void Reactor::flush(Connection& connection) {
  if (connection.blocked) return update_interest(connection);  // EPOLLOUT will say when
  const uint64_t before = connection.output.bytes_sent();
  const OutputQueue::FlushResult result = connection.output.flush(connection.fd.get());
  const uint64_t sent = connection.output.bytes_sent() - before;
  if (sent > 0) {
    counters_.bytes_out.fetch_add(sent, std::memory_order_relaxed);
    connection.last_progress_ns = clock_.monotonic_ns();
  }
  if (result == OutputQueue::FlushResult::kClosed) return close(connection, nullptr);
  if (result == OutputQueue::FlushResult::kFailed) {
    return close(connection, connection.output.failure().c_str());
  }
  connection.blocked = result == OutputQueue::FlushResult::kBlocked;
  // There may be room again for requests that were read already.
  if (!connection.input.empty() && !process_input(connection)) return;
  update_interest(connection);
}

void Reactor::update_interest(Connection& connection) {
  // While a request is alone, nothing changes until the client sends another: most wait for the
  // answer.
  const bool reading = wants_requests(connection) || (connection.alone && !connection.more_arrived);
  // Requests that wait for data, and output that is not taken, are nothing to a client that left.
  const bool leaving = !reading && !connection.busy && !connection.alone;
  const uint32_t wanted = (reading ? EPOLLIN : 0U) | (leaving ? EPOLLRDHUP : 0U) |
                          (connection.blocked ? static_cast<uint32_t>(EPOLLOUT) : 0U);
  if (wanted == connection.interest) return;
  // The time in which it was not read from is not its client's.
  if (reading && (connection.interest & EPOLLIN) == 0) {
    connection.frame_started_ns = clock_.monotonic_ns();
  }
  connection.interest = wanted;
  const Status changed = poller_.modify(connection.fd.get(), wanted, tag_of(connection));
  if (!changed.ok()) close(connection, changed.error().message.c_str());
}

void Reactor::close(Connection& connection, const char* why) {
  const uint32_t slot = connection.slot;
  if (connections_[slot].get() != &connection) return;
  if (why != nullptr) {
    close_log_.log(LogLevel::kInfo,
                   "closing the connection of " + connection.peer.host + ":" +
                       std::to_string(connection.peer.port) + ": " + why,
                   clock_.monotonic_ns());
  }
  poller_.remove(connection.fd.get());
  if (std::exchange(connection.overdrawn, false)) memory_.end_overdraft();
  memory_.add(-static_cast<int64_t>(std::exchange(connection.counted_bytes, 0)));
  limits_.release(connection.peer.host);
  --counters_.connections;
  generations_[slot] = (generations_[slot] + 1) & INT32_MAX;
  free_slots_.push_back(slot);
  // Callers up the stack still hold references: freed, and the socket closed, when the round ends.
  ::shutdown(connection.fd.get(), SHUT_RDWR);
  closed_.push_back(std::move(connections_[slot]));
  handler_.on_closed({.reactor = index_, .connection = slot, .generation = connection.generation});
}

// -- upkeep -------------------------------------------------------------------------------------

void Reactor::reap_idle() {
  const int64_t idle_ms = config_.connections_max_idle_ms;
  const int64_t now_ns = clock_.monotonic_ns();
  for (const auto& connection : connections_) {
    if (connection == nullptr || idle_ms < 0) continue;
    // A request that waits for us is not the client's idleness; output it does not take is.
    const bool ours =
        (connection->output.unanswered() > 0 || connection->busy || connection->starved) &&
        !connection->output.has_output();
    const bool arriving = !connection->input.empty() && wants_requests(*connection);
    if (arriving && now_ns - connection->frame_started_ns > idle_ms * kNsPerMs) {
      close(*connection, "a request that takes longer than connections.max.idle.ms to arrive");
    } else if (!ours && now_ns - connection->last_progress_ns > idle_ms * kNsPerMs) {
      close(*connection, "idle for longer than connections.max.idle.ms");
    }
  }
  const int64_t scan_ms = std::clamp(idle_ms < 0 ? kLongestIdleScanMs : idle_ms / 10,
                                     kShortestIdleScanMs, kLongestIdleScanMs);
  timers_.add(now_ns + scan_ms * kNsPerMs, [this] { reap_idle(); });
}

void Reactor::begin_stop(int64_t deadline_ns) {
  stopping_ = true;
  stop_deadline_ns_ = deadline_ns;
  for (const Watch& watched : watches_) poller_.remove(watched.fd);
  watches_.clear();
  for (const auto& connection : connections_) {
    if (connection == nullptr) continue;
    connection->draining = true;
    update_interest(*connection);
  }
  timers_.add(deadline_ns, [] {});  // the loop looks at the deadline when it wakes
}

bool Reactor::drained() const {
  return std::all_of(connections_.begin(), connections_.end(), [](const auto& connection) {
    return connection == nullptr || connection->output.in_flight() == 0;
  });
}

}  // namespace barnabas::net
