#include "loadgen/worker.h"

#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <ctime>

#include "base/clock.h"

namespace barnabas::loadgen {
namespace {

constexpr size_t kBufferBytes = 256 << 10;         // what one receive may take; fits a cache
constexpr size_t kDropBytes = 16 << 10;            // fewer are copied in less than a system call
constexpr int kReceives = 64;                      // of a connection, before another has its turn
constexpr int64_t kLookAroundNs = 100 * kNsPerMs;  // between two looks at stop and stalls
constexpr int64_t kAnswerTimeoutNs = 30 * kNsPerSecond;

int64_t now_ns() { return system_clock().monotonic_ns(); }

int64_t thread_cpu_ns() {
  timespec used{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
  return static_cast<int64_t>(used.tv_sec) * kNsPerSecond + used.tv_nsec;
}

/// epoll_wait with a timeout in nanoseconds where the kernel has that; an older one rounds up.
int wait_ns(int epoll, epoll_event* events, int most, int64_t timeout_ns) {
#ifdef SYS_epoll_pwait2
  const timespec timeout{timeout_ns / kNsPerSecond, timeout_ns % kNsPerSecond};
  const auto count = ::syscall(SYS_epoll_pwait2, epoll, events, most, &timeout, nullptr, 0);
  if (count >= 0 || errno != ENOSYS) return static_cast<int>(count);
#endif
  const int64_t timeout_ms = (timeout_ns + kNsPerMs - 1) / kNsPerMs;
  return ::epoll_wait(epoll, events, most, static_cast<int>(timeout_ms));
}

}  // namespace

Result<std::unique_ptr<Worker>> Worker::create(Run& run) {
  std::unique_ptr<Worker> worker(new Worker(run));
  worker->epoll_ = UniqueFd(::epoll_create1(EPOLL_CLOEXEC));
  if (!worker->epoll_.valid()) return system_error("epoll_create1", ErrorCode::kNetworkException);
  worker->buffer_.resize(kBufferBytes);
  return worker;
}

Status Worker::add(std::unique_ptr<Session> session) {
  epoll_event event{EPOLLIN, {.u64 = slots_.size()}};
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, session->fd(), &event) != 0) {
    return system_error("epoll_ctl", ErrorCode::kNetworkException);
  }
  slots_.emplace_back().session = std::move(session);
  ++left_;
  return {};
}

Status Worker::run() {
  ::prctl(PR_SET_TIMERSLACK, 1UL);  // what is due is due: not 50 µs later
  {
    MutexLock lock(mutex_);
    for (size_t index = 0; index < slots_.size(); ++index) BARNABAS_TRY(advance(index));
  }
  while (left_ > 0 && !aborted_.load(std::memory_order_relaxed)) {
    wait();
    MutexLock lock(mutex_);
    for (const auto& [index, events] : ready_) BARNABAS_TRY(serve(index, events));
    BARNABAS_TRY(serve_timers());
    BARNABAS_TRY(look_around());
  }
  MutexLock lock(mutex_);
  measure_cpu();
  return {};
}

void Worker::wait() {
  std::array<epoll_event, 256> events;
  int64_t until_ns = look_around_ns_;
  if (!timers_.empty()) until_ns = std::min(until_ns, timers_.top().first);
  const int64_t timeout_ns = std::max<int64_t>(until_ns - now_ns(), 0);
  const int count =
      wait_ns(epoll_.get(), events.data(), static_cast<int>(events.size()), timeout_ns);
  ready_.clear();
  for (int i = 0; i < count; ++i) {
    const epoll_event event = events[static_cast<size_t>(i)];  // its fields are packed
    ready_.emplace_back(static_cast<size_t>(event.data.u64), uint32_t{event.events});
  }
}

Status Worker::serve(size_t index, uint32_t events) {
  Slot& slot = slots_[index];
  if (slot.is_done) return {};
  if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) BARNABAS_TRY(receive(slot));
  return advance(index);
}

Status Worker::receive(Slot& slot) {
  for (int i = 0; i < kReceives; ++i) {
    BARNABAS_ASSIGN(const bool is_more, receive_once(slot));
    if (!is_more) return {};
  }
  return {};
}

Result<bool> Worker::receive_once(Slot& slot) {
  Session& session = *slot.session;
  const size_t carried = slot.carry.size();
  const size_t droppable = carried == 0 ? session.droppable() : 0;
  const bool is_dropped = droppable >= kDropBytes;
  const size_t most =
      std::min(is_dropped ? droppable : session.receive_bytes(), buffer_.size() - carried);
  std::copy(slot.carry.begin(), slot.carry.end(), buffer_.begin());
  const ssize_t got =
      ::recv(session.fd(), buffer_.data() + carried, most, is_dropped ? MSG_TRUNC : 0);
  if (got < 0) {
    if (errno == EAGAIN || errno == EINTR) return false;
    return system_error("the connection to the broker is lost", ErrorCode::kNetworkException);
  }
  if (got == 0) return peer_error("the broker closed the connection");
  const auto count = static_cast<size_t>(got);
  if (is_dropped) {
    BARNABAS_TRY(session.on_dropped(count, now_ns(), tally_));
    return count == most;
  }
  const ByteView bytes(buffer_.data(), carried + count);
  BARNABAS_ASSIGN(const size_t used, session.on_bytes(bytes, now_ns(), tally_));
  slot.carry.assign(bytes.begin() + static_cast<ptrdiff_t>(used), bytes.end());
  if (slot.carry.size() == buffer_.size()) return peer_error("the broker's answer is malformed");
  return count == most && session.droppable() >= kDropBytes;
}

Status Worker::advance(size_t index) {
  Slot& slot = slots_[index];
  if (slot.is_done) return {};
  Session& session = *slot.session;
  BARNABAS_TRY(session.pump(now_ns(), tally_));
  if (!session.outbox().empty()) {
    BARNABAS_TRY(session.outbox().flush(session.fd()));
    session.on_sent(now_ns(), tally_);
  }
  if (const bool wants_writing = !session.outbox().empty(); wants_writing != slot.is_writing) {
    epoll_event event{EPOLLIN | (wants_writing ? EPOLLOUT : 0U), {.u64 = index}};
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, session.fd(), &event) != 0) {
      return system_error("epoll_ctl", ErrorCode::kNetworkException);
    }
    slot.is_writing = wants_writing;
  }
  if (session.is_done()) {
    slot.is_done = true;
    --left_;
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, session.fd(), nullptr);
  } else if (const int64_t wake_ns = session.wake_ns();
             wake_ns != kNever && wake_ns != slot.timer_ns) {
    slot.timer_ns = wake_ns;
    timers_.emplace(wake_ns, index);
  }
  return {};
}

Status Worker::serve_timers() {
  const int64_t now = now_ns();
  while (!timers_.empty() && timers_.top().first <= now) {
    const auto [when_ns, index] = timers_.top();
    timers_.pop();
    Slot& slot = slots_[index];
    if (slot.timer_ns != when_ns) continue;  // it has another by now
    slot.timer_ns = kNever;
    BARNABAS_TRY(advance(index));
  }
  return {};
}

Status Worker::look_around() {
  const int64_t now = now_ns();
  if (!measure_begin_ && now >= run_.measure_ns) measure_cpu();
  if (now < look_around_ns_) return {};
  look_around_ns_ = now + kLookAroundNs;
  if (!measure_begin_) look_around_ns_ = std::min(look_around_ns_, run_.measure_ns);
  measure_cpu();
  const int64_t stop_ns = run_.stop_ns.load(std::memory_order_relaxed);
  const bool is_new_stop = stop_ns != seen_stop_ns_;
  seen_stop_ns_ = stop_ns;
  for (size_t index = 0; index < slots_.size(); ++index) {
    const Slot& slot = slots_[index];
    if (slot.is_done) continue;
    const int64_t since_ns = slot.session->waiting_since_ns();
    if (since_ns != kNever && now - since_ns > kAnswerTimeoutNs) {
      return peer_error("the broker has not answered for " +
                        std::to_string(kAnswerTimeoutNs / kNsPerSecond) + " s");
    }
    if (is_new_stop || now >= stop_ns) BARNABAS_TRY(advance(index));
  }
  return {};
}

void Worker::measure_cpu() {
  last_ = {thread_cpu_ns(), now_ns()};
  if (!measure_begin_ && last_.wall_ns >= run_.measure_ns) measure_begin_ = last_;
}

void Worker::add_counters_to(Tally& to) {
  MutexLock lock(mutex_);
  to.add_counters(tally_);
}

void Worker::take_latencies_into(Histogram& to) {
  Histogram taken;
  {
    MutexLock lock(mutex_);
    std::swap(taken, tally_.latencies);
  }
  to.add(taken);
}

WorkerUsage Worker::usage() {
  MutexLock lock(mutex_);
  if (!measure_begin_) return {};
  return {last_.cpu_ns - measure_begin_->cpu_ns, last_.wall_ns - measure_begin_->wall_ns};
}

}  // namespace barnabas::loadgen
