// What the kernel itself costs: a server that does nothing but the system calls of a broker, and a
// client that keeps it busy over loopback. It is the limit that brokers are measured against.
//
//   kernel_loop produce|fetch [--request-bytes N] [--answer-bytes N] [--write-bytes N]
//               [--connections N] [--in-flight N] [--warm-up SECONDS] [--seconds SECONDS] [--file
//               PATH]
//
// produce: recv, crc32c, pwrite of each request, send of its answer. fetch: recv of a small
// request, sendfile of `--answer-bytes` of a file in the page cache. Requests are fixed sizes,
// without any protocol. Prints one JSON object; CPU is the server's, which is a process of its own.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <new>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/crc32c.h"
#include "base/fd.h"
#include "loadgen/histogram.h"

namespace {

using barnabas::ByteView;
using barnabas::UniqueFd;

constexpr size_t kHeaderBytes = 64;              // before the slice of a file
constexpr uint64_t kFileBytes = 256ULL << 20U;   // of the file that is sent
constexpr uint64_t kSegmentBytes = 1ULL << 30U;  // of a file that is written, as of a log's
constexpr size_t kReceiveBytes = 256 << 10;      // asked of one recv, at least
constexpr size_t kAnswersBytes = 256 << 10;      // to Produce, in one recv
constexpr int kReceives = 64;                    // of a connection, before another has its turn
constexpr int kEvents = 256;
constexpr int kWaitMs = 100;

struct Options {
  bool is_fetch = false;
  size_t request_bytes = 200;
  size_t answer_bytes = 60;
  size_t write_bytes = 1 << 20;  // of one write of the file that is sent: a log's batches
  size_t connections = 1;
  size_t in_flight = 1;
  double warm_up_s = 0.5;
  double seconds = 2;
  std::string path = "kernel_loop.data";
};

/// What the processes tell each other, in shared memory.
struct Shared {
  std::atomic<bool> is_measured{false};
  std::atomic<bool> is_over{false};
  std::atomic<double> server_cpu_s{0};
  std::atomic<int64_t> server_switches{0};
};

[[noreturn]] void die(const std::string& why) {
  std::fprintf(stderr, "kernel_loop: %s: %s\n", why.c_str(), std::strerror(errno));
  std::_Exit(1);
}

int64_t now_ns() { return barnabas::system_clock().monotonic_ns(); }

void set_no_delay(int fd) {
  const int one = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

void watch(int poller, int fd, uint32_t events, uint32_t index, int operation) {
  epoll_event event{};
  event.events = events;
  event.data.u32 = index;
  if (epoll_ctl(poller, operation, fd, &event) != 0) die("epoll_ctl");
}

/// The process's CPU seconds and context switches.
std::pair<double, int64_t> usage() {
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return {seconds(used.ru_utime) + seconds(used.ru_stime), used.ru_nvcsw + used.ru_nivcsw};
}

/// One connection of the server.
struct Peer {
  UniqueFd socket;
  std::vector<uint8_t> input;
  size_t have = 0;         // bytes of `input`
  size_t header_left = 0;  // of the answer that is being sent
  uint64_t slice_left = 0;
  uint64_t position = 0;  // in the file
  size_t answers = 0;     // that wait behind it
};

class Server {
 public:
  Server(const Options& options, Shared& shared, UniqueFd listener)
      : options_(options), shared_(shared), poller_(epoll_create1(EPOLL_CLOEXEC)) {
    open_file(options.path);
    for (size_t i = 0; i < options.connections; ++i) accept_one(listener.get());
  }

  void run() {
    // One request at a time needs no epoll.
    const bool is_single =
        !options_.is_fetch && options_.connections == 1 && options_.in_flight == 1;
    if (is_single) make_blocking(peers_.front().socket.get());
    bool was_measured = false;
    std::pair<double, int64_t> begin;
    while (!shared_.is_over.load(std::memory_order_relaxed)) {
      if (!was_measured && shared_.is_measured.load(std::memory_order_relaxed)) {
        was_measured = true;
        begin = usage();
      }
      if (is_single) {
        receive(peers_.front(), 0);
      } else {
        serve_ready();
      }
    }
    const auto end = usage();
    shared_.server_cpu_s = end.first - begin.first;
    shared_.server_switches = end.second - begin.second;
  }

 private:
  void open_file(const std::string& path) {
    file_ = UniqueFd(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
    if (!file_.valid()) die(path);
  }

  void accept_one(int listener) {
    Peer peer;
    peer.socket = UniqueFd(accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!peer.socket.valid()) die("accept");
    set_no_delay(peer.socket.get());
    peer.input.resize(std::max(kReceiveBytes, options_.request_bytes));
    watch(poller_.get(), peer.socket.get(), EPOLLIN, static_cast<uint32_t>(peers_.size()),
          EPOLL_CTL_ADD);
    peers_.push_back(std::move(peer));
  }

  void serve_ready() {
    std::array<epoll_event, kEvents> events{};
    const int ready = epoll_wait(poller_.get(), events.data(), kEvents, kWaitMs);
    for (int i = 0; i < ready; ++i) serve(events[i].data.u32, events[i].events);
  }

  static void make_blocking(int fd) {
    fcntl(fd, F_SETFL, 0);
    const timeval wait{0, kWaitMs * 1000};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
  }

  void serve(uint32_t index, uint32_t events) {
    Peer& peer = peers_[index];
    if ((events & EPOLLIN) != 0U) receive(peer, MSG_DONTWAIT);
    const bool was_idle = (events & EPOLLOUT) == 0U;
    if (!options_.is_fetch) return;
    const bool is_done = send_slices(peer);
    if (is_done == was_idle) return;
    watch(poller_.get(), peer.socket.get(), is_done ? EPOLLIN : EPOLLIN | EPOLLOUT, index,
          EPOLL_CTL_MOD);
  }

  void receive(Peer& peer, int flags) {
    const ssize_t got = recv(peer.socket.get(), peer.input.data() + peer.have,
                             peer.input.size() - peer.have, flags);
    if (got <= 0) return;
    peer.have += static_cast<size_t>(got);
    size_t done = 0;
    size_t answers = 0;
    for (; peer.have - done >= options_.request_bytes; done += options_.request_bytes, ++answers) {
      if (!options_.is_fetch) append({peer.input.data() + done, options_.request_bytes});
    }
    if (done > 0 && done < peer.have) {
      std::memmove(peer.input.data(), peer.input.data() + done, peer.have - done);
    }
    peer.have -= done;
    if (options_.is_fetch) {
      peer.answers += answers;
    } else if (answers > 0) {
      answer_.resize(std::max(answer_.size(), answers * options_.answer_bytes));
      if (send(peer.socket.get(), answer_.data(), answers * options_.answer_bytes, 0) < 0) {
        if (errno != EPIPE && errno != ECONNRESET) die("send");
      }
    }
  }

  void append(ByteView request) {
    checksum_ ^= barnabas::crc32c(request);
    if (end_ + request.size() > kSegmentBytes) {
      end_ = 0;
      open_file(options_.path + "." + std::to_string(++segments_));
    }
    if (pwrite(file_.get(), request.data(), request.size(), static_cast<off_t>(end_)) < 0) {
      die("pwrite");
    }
    end_ += request.size();
  }

  /// Whether all answers of the connection are sent.
  bool send_slices(Peer& peer) {
    static const std::array<uint8_t, kHeaderBytes> header{};
    for (;;) {
      if (peer.header_left == 0 && peer.slice_left == 0) {
        if (peer.answers == 0) return true;
        --peer.answers;
        peer.header_left = kHeaderBytes;
        peer.slice_left = options_.answer_bytes - kHeaderBytes;
        if (peer.position + peer.slice_left > kFileBytes) peer.position = 0;
      }
      if (peer.header_left > 0) {
        const ssize_t sent = send(peer.socket.get(), header.data(), peer.header_left, MSG_MORE);
        if (sent < 0) return errno != EAGAIN;
        peer.header_left -= static_cast<size_t>(sent);
      }
      auto offset = static_cast<off_t>(peer.position);
      const ssize_t sent = sendfile(peer.socket.get(), file_.get(), &offset, peer.slice_left);
      if (sent < 0) return errno != EAGAIN;
      peer.position += static_cast<uint64_t>(sent);
      peer.slice_left -= static_cast<uint64_t>(sent);
    }
  }

  const Options& options_;
  Shared& shared_;
  UniqueFd poller_;
  UniqueFd file_;
  uint64_t end_ = 0;
  int segments_ = 0;
  uint32_t checksum_ = 0;
  std::vector<uint8_t> answer_;
  std::vector<Peer> peers_;
};

/// One connection of the client.
struct Caller {
  UniqueFd socket;
  size_t unsent = 0;        // bytes of requests that are due
  size_t answer_bytes = 0;  // of the answer that is being received
  std::deque<int64_t> begun_ns;
};

class Client {
 public:
  Client(const Options& options, Shared& shared, const sockaddr_in& address)
      : options_(options), shared_(shared), poller_(epoll_create1(EPOLL_CLOEXEC)) {
    request_.resize(options.request_bytes * options.in_flight, 'x');
    scratch_.resize(std::max(kAnswersBytes, options.write_bytes));
    for (size_t i = 0; i < options.connections; ++i) connect_one(address);
  }

  void run() {
    const auto in_ns = [](double seconds) { return static_cast<int64_t>(seconds * 1e9); };
    const int64_t measure_ns = now_ns() + in_ns(options_.warm_up_s);
    const int64_t end_ns = measure_ns + in_ns(options_.seconds);
    for (Caller& caller : callers_) begin_requests(caller, options_.in_flight);
    std::array<epoll_event, kEvents> events{};
    for (int64_t now = now_ns(); now < end_ns; now = now_ns()) {
      if (!is_measured_ && now >= measure_ns) {
        is_measured_ = true;
        begin_ns_ = now;
        shared_.is_measured = true;
      }
      const int ready = epoll_wait(poller_.get(), events.data(), kEvents, kWaitMs);
      for (int i = 0; i < ready; ++i) serve(callers_[events[i].data.u32], events[i].data.u32);
    }
    end_ns_ = now_ns();
    shared_.is_over = true;
  }

  void report() const {
    const double seconds = static_cast<double>(end_ns_ - begin_ns_) / 1e9;
    const auto requests = static_cast<double>(answered_);
    const size_t unit = options_.is_fetch ? options_.answer_bytes : options_.request_bytes;
    const double bytes = requests * static_cast<double>(unit);
    const double cpu_s = shared_.server_cpu_s;
    std::printf(
        "{\"requests_per_s\": %.1f, \"mb_per_s\": %.2f, \"cpu_us_per_request\": %.3f, "
        "\"cpu_s_per_gb\": %.4f, \"context_switches_per_s\": %.1f, \"p50_ms\": %.6f, "
        "\"p99_ms\": %.6f, \"p999_ms\": %.6f}\n",
        requests / seconds, bytes / seconds / 1e6, cpu_s / requests * 1e6, cpu_s / bytes * 1e9,
        static_cast<double>(shared_.server_switches) / seconds, percentile_ms(0.5),
        percentile_ms(0.99), percentile_ms(0.999));
  }

 private:
  void connect_one(const sockaddr_in& address) {
    Caller caller;
    caller.socket = UniqueFd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (connect(caller.socket.get(), reinterpret_cast<const sockaddr*>(&address),
                sizeof(address)) != 0) {
      die("connect");
    }
    fcntl(caller.socket.get(), F_SETFL, O_NONBLOCK);
    set_no_delay(caller.socket.get());
    watch(poller_.get(), caller.socket.get(), EPOLLIN, static_cast<uint32_t>(callers_.size()),
          EPOLL_CTL_ADD);
    callers_.push_back(std::move(caller));
  }

  void begin_requests(Caller& caller, size_t count) {
    const int64_t now = now_ns();
    for (size_t i = 0; i < count; ++i) caller.begun_ns.push_back(now);
    caller.unsent += count * options_.request_bytes;
    send_due(caller);
  }

  void send_due(Caller& caller) {
    while (caller.unsent > 0) {
      const size_t size = std::min(caller.unsent, request_.size());
      const ssize_t sent = send(caller.socket.get(), request_.data(), size, MSG_DONTWAIT);
      if (sent < 0) return;
      caller.unsent -= static_cast<size_t>(sent);
    }
  }

  void serve(Caller& caller, uint32_t index) {
    const bool was_blocked = caller.unsent > 0;
    if (const size_t got = receive(caller); got > 0) {
      caller.answer_bytes += got;
      const size_t answers = caller.answer_bytes / options_.answer_bytes;
      caller.answer_bytes %= options_.answer_bytes;
      count(caller, answers);
      if (answers > 0) begin_requests(caller, answers);
    }
    if (was_blocked) send_due(caller);
    const bool is_blocked = caller.unsent > 0;
    if (is_blocked == was_blocked) return;
    watch(poller_.get(), caller.socket.get(), is_blocked ? EPOLLIN | EPOLLOUT : EPOLLIN, index,
          EPOLL_CTL_MOD);
  }

  /// As the load generator does: what is fetched is dropped unseen, a batch at a time.
  size_t receive(Caller& caller) {
    const size_t most = options_.is_fetch ? options_.write_bytes : scratch_.size();
    const int flags = MSG_DONTWAIT | (options_.is_fetch ? MSG_TRUNC : 0);
    size_t total = 0;
    for (int i = 0; i < kReceives; ++i) {
      const ssize_t got = recv(caller.socket.get(), scratch_.data(), most, flags);
      if (got <= 0) break;
      total += static_cast<size_t>(got);
      if (static_cast<size_t>(got) < most) break;
    }
    return total;
  }

  void count(Caller& caller, size_t answers) {
    const int64_t now = now_ns();
    for (size_t i = 0; i < answers; ++i) {
      if (is_measured_) latencies_.record(now - caller.begun_ns.front());
      caller.begun_ns.pop_front();
    }
    if (is_measured_) answered_ += static_cast<int64_t>(answers);
  }

  [[nodiscard]] double percentile_ms(double part) const {
    const auto& counts = latencies_.counts();
    const auto wanted = static_cast<int64_t>(part * static_cast<double>(answered_));
    int64_t seen = 0;
    for (int64_t value = 0; value <= barnabas::loadgen::kHistogramHighest;) {
      const size_t index = barnabas::loadgen::Histogram::index_of(value);
      seen += counts[index];
      if (seen > wanted) return static_cast<double>(value) / 1e6;
      int64_t step = 1;
      while (barnabas::loadgen::Histogram::index_of(value + step) == index) step *= 2;
      value += step;
    }
    return 0;
  }

  const Options& options_;
  Shared& shared_;
  UniqueFd poller_;
  std::vector<uint8_t> request_;
  std::vector<uint8_t> scratch_;
  std::vector<Caller> callers_;
  barnabas::loadgen::Histogram latencies_;
  bool is_measured_ = false;
  int64_t begin_ns_ = 0;
  int64_t end_ns_ = 0;
  int64_t answered_ = 0;
};

Options parse(int argc, char** argv) {
  Options options;
  const std::string mode = argc > 1 ? argv[1] : "";
  options.is_fetch = mode == "fetch";
  if (options.is_fetch) {
    options.request_bytes = 60;
    options.answer_bytes = (1 << 20) + kHeaderBytes;
  }
  const std::map<std::string, size_t*> sizes = {{"--request-bytes", &options.request_bytes},
                                                {"--answer-bytes", &options.answer_bytes},
                                                {"--write-bytes", &options.write_bytes},
                                                {"--connections", &options.connections},
                                                {"--in-flight", &options.in_flight}};
  const std::map<std::string, double*> times = {{"--warm-up", &options.warm_up_s},
                                                {"--seconds", &options.seconds}};
  bool is_good = (options.is_fetch || mode == "produce") && argc % 2 == 0;
  for (int i = 2; is_good && i + 1 < argc; i += 2) {
    const std::string name = argv[i];
    const char* value = argv[i + 1];
    if (const auto size = sizes.find(name); size != sizes.end()) {
      *size->second = std::strtoul(value, nullptr, 10);
      is_good = *size->second > 0;
    } else if (const auto time = times.find(name); time != times.end()) {
      *time->second = std::strtod(value, nullptr);
      is_good = *time->second > 0;
    } else {
      is_good = name == "--file";
      options.path = value;
    }
  }
  is_good = is_good && options.answer_bytes > (options.is_fetch ? kHeaderBytes : 0);
  if (!is_good) {
    std::fprintf(stderr,
                 "usage: kernel_loop produce|fetch [--request-bytes N] [--answer-bytes N] "
                 "[--write-bytes N] [--connections N] [--in-flight N] [--warm-up S] [--seconds S] "
                 "[--file PATH]\n");
    std::exit(2);
  }
  return options;
}

void fill_file(const Options& options) {
  const UniqueFd file(open(options.path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  const std::vector<uint8_t> block(options.write_bytes, 'x');
  for (uint64_t at = 0; at < kFileBytes; at += block.size()) {
    if (pwrite(file.get(), block.data(), block.size(), static_cast<off_t>(at)) < 0) die("pwrite");
  }
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = parse(argc, argv);
  void* memory =
      mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) die("mmap");
  auto& shared = *new (memory) Shared;
  if (options.is_fetch) fill_file(options);
  UniqueFd listener(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  if (bind(listener.get(), reinterpret_cast<sockaddr*>(&address), size) != 0) die("bind");
  if (listen(listener.get(), static_cast<int>(options.connections)) != 0) die("listen");
  getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size);
  const pid_t child = fork();
  if (child < 0) die("fork");
  if (child == 0) {
    Server(options, shared, std::move(listener)).run();
    std::_Exit(0);
  }
  Client client(options, shared, address);
  client.run();
  int status = 0;
  waitpid(child, &status, 0);
  if (status != 0) die("the server failed");
  client.report();
  return 0;
}
