// What a connection and a request cost by themselves: a handler that echoes, no Kafka behind it.
//
//   net_bench echo 64 1 5       connections, requests each keeps in flight, seconds:
//                               requests/s, and server CPU microseconds a request
//   net_bench large 4 1048576 5 connections, bytes a request, seconds: GB/s in, and CPU a GB
//   net_bench idle 8000         resident bytes a connection that does nothing
//
// The clients run in a child process, so that CPU and memory are the server's alone.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "net/server.h"

namespace {

using namespace barnabas;
using namespace barnabas::net;

constexpr size_t kHeaderBytes = 14;  // length, api key and version, correlation id, null client id
constexpr size_t kEchoBodyBytes = 100;
constexpr size_t kAnswerBytes = 8;

/// Answers every request with its correlation id.
class EchoHandler final : public RequestHandler {
 public:
  Admission on_request(const Request& request) override {
    net::Bytes answer(sizeof(int32_t));
    store_be<int32_t>(answer.data(), request.correlation_id);
    server->respond(request.token, Response::of(std::move(answer)));
    return Admission::kTaken;
  }
  Server* server = nullptr;
};

double cpu_seconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

double resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  double total = 0;
  double resident = 0;
  statm >> total >> resident;
  return resident * static_cast<double>(::sysconf(_SC_PAGESIZE));
}

int connect_to(uint16_t port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    std::perror("net_bench: connect");
    std::exit(1);
  }
  return fd;
}

std::vector<uint8_t> request_of(size_t body_bytes) {
  std::vector<uint8_t> request(kHeaderBytes + body_bytes);
  store_be<int32_t>(request.data(), static_cast<int32_t>(request.size() - 4));
  store_be<int16_t>(request.data() + 12, -1);
  return request;
}

void send_all(int fd, const std::vector<uint8_t>& bytes) {
  for (size_t done = 0; done < bytes.size();) {
    const ssize_t n = ::send(fd, bytes.data() + done, bytes.size() - done, MSG_NOSIGNAL);
    if (n <= 0) std::exit(0);
    done += static_cast<size_t>(n);
  }
}

/// Keeps `in_flight` requests on each connection, until it is killed.
[[noreturn]] void run_clients(uint16_t port, int connections, int in_flight, size_t body_bytes) {
  std::vector<uint8_t> burst;
  const auto request = request_of(body_bytes);
  for (int i = 0; i < in_flight; ++i) burst.insert(burst.end(), request.begin(), request.end());
  std::vector<pollfd> fds;
  for (int i = 0; i < connections; ++i) {
    fds.push_back({connect_to(port), POLLIN, 0});
    send_all(fds.back().fd, burst);
  }
  std::vector<size_t> received(fds.size());
  std::vector<uint8_t> buffer(1 << 16);
  while (true) {
    ::poll(fds.data(), fds.size(), -1);
    for (size_t i = 0; i < fds.size(); ++i) {
      if ((fds[i].revents & POLLIN) == 0) continue;
      const ssize_t n = ::recv(fds[i].fd, buffer.data(), buffer.size(), 0);
      if (n <= 0) std::exit(0);
      received[i] += static_cast<size_t>(n);
      const size_t whole = kAnswerBytes * static_cast<size_t>(in_flight);
      if (received[i] < whole) continue;
      received[i] -= whole;
      send_all(fds[i].fd, burst);
    }
  }
}

template <class Clients>
pid_t in_child(Clients clients) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    clients();
    std::exit(0);
  }
  return child;
}

void end_child(pid_t child) {
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
}

struct Load {
  double seconds = 0;
  double cpu_seconds = 0;
  double requests = 0;
  double bytes_in = 0;
};

Load measure(Server& server, int seconds) {
  std::this_thread::sleep_for(std::chrono::milliseconds(500));  // until all are connected and warm
  const ServerStats before = server.stats();
  const double cpu = cpu_seconds();
  const auto begin = std::chrono::steady_clock::now();
  std::this_thread::sleep_for(std::chrono::seconds(seconds));
  const ServerStats after = server.stats();
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  return {took.count(), cpu_seconds() - cpu,
          static_cast<double>(after.requests_total - before.requests_total),
          static_cast<double>(after.bytes_in - before.bytes_in)};
}

void bench_echo(Server& server, uint16_t port, int connections, int in_flight, int seconds) {
  const pid_t child = in_child([&] { run_clients(port, connections, in_flight, kEchoBodyBytes); });
  const Load load = measure(server, seconds);
  end_child(child);
  std::printf("echo connections=%d in_flight=%d: %.0f requests/s, %.2f us CPU a request\n",
              connections, in_flight, load.requests / load.seconds,
              load.cpu_seconds / load.requests * 1e6);
}

void bench_large(Server& server, uint16_t port, int connections, size_t bytes, int seconds) {
  const pid_t child = in_child([&] { run_clients(port, connections, 1, bytes); });
  const Load load = measure(server, seconds);
  end_child(child);
  std::printf("large connections=%d bytes=%zu: %.2f GB/s in, %.2f s CPU a GB\n", connections, bytes,
              load.bytes_in / load.seconds / 1e9, load.cpu_seconds / load.bytes_in * 1e9);
}

void bench_idle(Server& server, uint16_t port, int connections) {
  const double before = resident_bytes();
  const pid_t child = in_child([&] {
    std::vector<int> fds;
    for (int i = 0; i < connections; ++i) {
      fds.push_back(connect_to(port));
      send_all(fds.back(), request_of(kEchoBodyBytes));
    }
    ::pause();
  });
  while (server.stats().requests_total < static_cast<uint64_t>(connections)) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  std::printf("idle connections=%d: %.0f bytes resident a connection\n", connections,
              (resident_bytes() - before) / connections);
  end_child(child);
}

int usage() {
  std::fprintf(stderr, "net_bench echo|large|idle NUMBERS..., see the head of net_bench.cc\n");
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string operation = argc > 1 ? argv[1] : "";
  std::vector<int> numbers;
  for (int i = 2; i < argc; ++i) numbers.push_back(std::atoi(argv[i]));
  EchoHandler handler;
  ServerConfig config;
  config.listen_backlog = 1024;
  const auto server = Server::create(config, handler, system_clock());
  handler.server = server.get();
  const auto port = server->listen("127.0.0.1", 0);
  if (!port.ok() || !server->start().ok()) return 1;
  if (operation == "echo" && numbers.size() == 3) {
    bench_echo(*server, *port, numbers[0], numbers[1], numbers[2]);
  } else if (operation == "large" && numbers.size() == 3) {
    bench_large(*server, *port, numbers[0], static_cast<size_t>(numbers[1]), numbers[2]);
  } else if (operation == "idle" && numbers.size() == 1) {
    bench_idle(*server, *port, numbers[0]);
  } else {
    return usage();
  }
  return 0;
}
