// What a frame, a request and a connection cost by themselves: a handler that echoes, no Kafka
// behind it.
#include <arpa/inet.h>
#include <benchmark/benchmark.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <ctime>

#include "fixture.h"
#include "net/frame_parser.h"
#include "net/server.h"

namespace barnabas::bench {
namespace {

constexpr size_t kHeaderBytes = 14;  // length, api key and version, correlation id, null client id
constexpr size_t kEchoBodyBytes = 100;
constexpr size_t kAnswerBytes = 8;
constexpr size_t kReactorBufferBytes = 64 << 10;

Bytes request_of(size_t body_bytes) {
  Bytes request(kHeaderBytes + body_bytes);
  store_be<int32_t>(request.data(), static_cast<int32_t>(request.size() - 4));
  store_be<int16_t>(request.data() + 12, -1);
  return request;
}

Bytes burst_of(size_t body_bytes, int64_t count) {
  const Bytes request = request_of(body_bytes);
  Bytes burst;
  for (int64_t i = 0; i < count; ++i) burst.insert(burst.end(), request.begin(), request.end());
  return burst;
}

// -- frames

void parse_frames(benchmark::State& state) {
  const Bytes one = request_of(kEchoBodyBytes);
  Bytes buffer = burst_of(kEchoBodyBytes, kReactorBufferBytes / one.size());
  for (auto _ : state) {
    for (MutableBytes rest(buffer); !rest.empty();) {
      const net::FrameScan scan = net::scan_frame(rest, INT32_MAX);
      net::Request request;
      if (!net::parse_request_header(rest.first(scan.frame_bytes), request)) die("not a frame");
      benchmark::DoNotOptimize(request);
      rest = rest.subspan(scan.frame_bytes);
    }
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(buffer.size() / one.size()));
}
BENCHMARK(parse_frames);

// -- a server that echoes, and clients on loopback

/// Answers every request with its correlation id.
class EchoHandler final : public net::RequestHandler {
 public:
  net::Admission on_request(const net::Request& request) override {
    net::Bytes answer(sizeof(int32_t));
    store_be<int32_t>(answer.data(), request.correlation_id);
    server->respond(request.token, net::Response::of(std::move(answer)));
    return net::Admission::kTaken;
  }
  net::Server* server = nullptr;
};

class EchoServer {
 public:
  EchoServer() {
    handler_.server = server_.get();
    port_ = check(server_->listen("127.0.0.1", 0));
    check(server_->start());
  }
  [[nodiscard]] UniqueFd connect() const {
    UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const int on = 1;
    ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port_);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
      die(system_error("connect").message);
    }
    return fd;
  }
  [[nodiscard]] net::ServerStats stats() const { return server_->stats(); }

 private:
  EchoHandler handler_;
  std::unique_ptr<net::Server> server_ =
      net::Server::create({.reactor_threads = 1}, handler_, system_clock());
  uint16_t port_ = 0;
};

void ask(int fd, const Bytes& burst, int64_t answers) {
  for (size_t sent = 0; sent < burst.size();) {
    const ssize_t n = ::send(fd, burst.data() + sent, burst.size() - sent, MSG_NOSIGNAL);
    if (n <= 0) die("send");
    sent += static_cast<size_t>(n);
  }
  Bytes answer(kAnswerBytes * static_cast<size_t>(answers));
  if (::recv(fd, answer.data(), answer.size(), MSG_WAITALL) !=
      static_cast<ssize_t>(answer.size())) {
    die("the server closed the connection");
  }
}

double cpu_seconds(clockid_t clock) {
  timespec now{};
  ::clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

/// One connection that keeps so many requests in flight. Counts the CPU time of the process less
/// that of the client.
void echo(benchmark::State& state) {
  const EchoServer server;
  const UniqueFd fd = server.connect();
  const int64_t in_flight = state.range(0);
  const auto body_bytes = static_cast<size_t>(state.range(1));
  const Bytes burst = burst_of(body_bytes, in_flight);
  const double process = cpu_seconds(CLOCK_PROCESS_CPUTIME_ID);
  const double client = cpu_seconds(CLOCK_THREAD_CPUTIME_ID);
  for (auto _ : state) ask(fd.get(), burst, in_flight);
  const double server_cpu = cpu_seconds(CLOCK_PROCESS_CPUTIME_ID) - process -
                            (cpu_seconds(CLOCK_THREAD_CPUTIME_ID) - client);
  const int64_t requests = state.iterations() * in_flight;
  state.SetItemsProcessed(requests);
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(burst.size()));
  state.counters["server_cpu_us"] = server_cpu / static_cast<double>(requests) * 1e6;
}
BENCHMARK(echo)
    ->ArgNames({"in_flight", "body_B"})
    ->Args({1, kEchoBodyBytes})
    ->Args({32, kEchoBodyBytes})
    ->Args({1, 1 << 20})
    ->UseRealTime();

// -- connections

/// Time to accept as many connections and answer a request of each, and what each holds then.
void idle_connections(benchmark::State& state) {
  const Bytes request = request_of(kEchoBodyBytes);
  double allocated = 0;
  for (auto _ : state) {
    state.PauseTiming();
    const EchoServer server;
    std::vector<UniqueFd> clients;
    clients.reserve(static_cast<size_t>(state.range(0)));
    const double before = allocated_bytes();
    state.ResumeTiming();
    for (int64_t i = 0; i < state.range(0); ++i) {
      clients.push_back(server.connect());
      ask(clients.back().get(), request, 1);
    }
    state.PauseTiming();
    allocated = allocated_bytes() - before;
    clients.clear();
    state.ResumeTiming();
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
  state.counters["B_a_connection"] = allocated / static_cast<double>(state.range(0));
}
BENCHMARK(idle_connections)
    ->ArgName("connections")
    ->Arg(400)  // and as many of the client, below the usual limit of descriptors
    ->Iterations(1)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace barnabas::bench
