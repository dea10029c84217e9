// What Produce and Fetch requests cost the broker: in its handlers alone, and in a whole engine
// that a client in the same process asks over loopback.
#include <arpa/inet.h>
#include <benchmark/benchmark.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <ctime>

#include "bare_plane.h"
#include "dataplane/engine.h"

namespace barnabas::bench {
namespace {

constexpr int64_t kMaxLogBytes = 256 << 20;
constexpr int kSessionPartitions = 100;

// -- without sockets: frame, request, log, answer

void produce(benchmark::State& state) {
  const TemporaryDirectory directory;
  BarePlane plane(directory.path(), 1);
  const Bytes sent = produce_frame(
      make_batch(static_cast<size_t>(state.range(0)), static_cast<size_t>(state.range(1))));
  Bytes frame;
  for (auto _ : state) {
    frame = sent;  // the broker patches what it receives
    plane.offer(frame);
    if (plane.partition(0)->log()->size_bytes() > kMaxLogBytes) {
      state.PauseTiming();
      check(plane.partition(0)->log()->truncate_to(0));
      state.ResumeTiming();
    }
  }
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(sent.size()));
}
BENCHMARK(produce)
    ->ArgNames({"value_B", "batch_B"})
    ->Args({100, 0})  // a single record
    ->Args({100, kBatchBytes})
    ->Args({1000, kBatchBytes});

void fetch_last_batch(benchmark::State& state) {
  const TemporaryDirectory directory;
  BarePlane plane(directory.path(), 1);
  plane.offer(produce_frame(make_batch(100, 0)));
  Bytes frame = fetch_frame({});
  for (auto _ : state) plane.offer(frame);
  if (plane.last_records_bytes() == 0) die("nothing was fetched");
}
BENCHMARK(fetch_last_batch);

void fetch_nothing(benchmark::State& state) {
  const TemporaryDirectory directory;
  BarePlane plane(directory.path(), 1);
  Bytes frame = fetch_frame({});
  for (auto _ : state) plane.offer(frame);
}
BENCHMARK(fetch_nothing);

void fetch_in_session(benchmark::State& state) {
  const TemporaryDirectory directory;
  const auto partitions = static_cast<int32_t>(state.range(0));
  BarePlane plane(directory.path(), partitions);
  plane.offer(produce_frame(make_batch(100, 0)));
  FetchSessionOfMany session(plane, partitions);
  for (auto _ : state) session.fetch();
  if (plane.last_records_bytes() == 0) die("nothing was fetched");
}
BENCHMARK(fetch_in_session)->ArgName("partitions")->Arg(1)->Arg(kSessionPartitions);

// -- over loopback

double seconds(clockid_t clock) {
  timespec now{};
  ::clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

/// An engine with one reactor and a partition, and a connection to it.
class LoopbackBroker {
 public:
  LoopbackBroker() {
    check(engine_->open_directories({directory_.path() + "/data"}, "bench", 1));
    const std::pair<int32_t, int32_t> partition{0, 0};
    check(check(engine_->begin_creation(kTopic, Uuid{{1}}, {&partition, 1}, {}))->carry_out());
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(check(engine_->listen("127.0.0.1", 0)));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    check(engine_->start());
    if (::connect(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
      die("connect");
    }
  }
  ~LoopbackBroker() { (void)engine_->stop(0); }
  LoopbackBroker(const LoopbackBroker&) = delete;
  LoopbackBroker& operator=(const LoopbackBroker&) = delete;

  /// Sends `burst` and waits for as many answers.
  void ask(const Bytes& burst, int64_t answers) {
    for (size_t sent = 0; sent < burst.size();) {
      const ssize_t n = ::send(fd_.get(), burst.data() + sent, burst.size() - sent, MSG_NOSIGNAL);
      if (n <= 0) die("send");
      sent += static_cast<size_t>(n);
    }
    for (; answers > 0; --answers) {
      uint8_t length[4];
      receive(length, sizeof length);
      answer_.resize(load_be<uint32_t>(length));
      receive(answer_.data(), answer_.size());
    }
  }

 private:
  void receive(uint8_t* out, size_t count) {
    if (::recv(fd_.get(), out, count, MSG_WAITALL) != static_cast<ssize_t>(count)) {
      die("the broker closed the connection");
    }
  }

  const TemporaryDirectory directory_;
  std::unique_ptr<dataplane::Engine> engine_ =
      check(dataplane::Engine::create({{"num.network.threads", int64_t{1}}}));
  const UniqueFd fd_{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  Bytes answer_;
};

/// Counts requests, and the CPU time of the process less that of the client.
void ask_over_loopback(benchmark::State& state, LoopbackBroker& broker, const Bytes& frame) {
  const int64_t in_flight = state.range(0);
  Bytes burst;
  for (int64_t i = 0; i < in_flight; ++i) burst.insert(burst.end(), frame.begin(), frame.end());
  const double process = seconds(CLOCK_PROCESS_CPUTIME_ID);
  const double client = seconds(CLOCK_THREAD_CPUTIME_ID);
  for (auto _ : state) broker.ask(burst, in_flight);
  const double broker_cpu =
      seconds(CLOCK_PROCESS_CPUTIME_ID) - process - (seconds(CLOCK_THREAD_CPUTIME_ID) - client);
  const int64_t requests = state.iterations() * in_flight;
  state.SetItemsProcessed(requests);
  state.counters["broker_cpu_us"] = broker_cpu / static_cast<double>(requests) * 1e6;
}

void loopback_produce(benchmark::State& state) {
  LoopbackBroker broker;
  const auto batch =
      make_batch(static_cast<size_t>(state.range(1)), static_cast<size_t>(state.range(2)));
  ask_over_loopback(state, broker, produce_frame(batch));
}
BENCHMARK(loopback_produce)
    ->ArgNames({"in_flight", "value_B", "batch_B"})
    ->Args({1, 100, 0})
    ->Args({32, 100, 0})
    ->Args({4, 1000, 100'000})
    ->UseRealTime();

void loopback_fetch_last_batch(benchmark::State& state) {
  LoopbackBroker broker;
  broker.ask(produce_frame(make_batch(100, 0)), 1);
  ask_over_loopback(state, broker, fetch_frame({}));
}
BENCHMARK(loopback_fetch_last_batch)->ArgName("in_flight")->Arg(1)->Arg(32)->UseRealTime();

void loopback_fetch_a_mebibyte(benchmark::State& state) {
  LoopbackBroker broker;
  for (int i = 0; i < 12; ++i) broker.ask(produce_frame(make_batch(1000, 100'000)), 1);
  ask_over_loopback(state, broker, fetch_frame({}));
  state.SetBytesProcessed(state.iterations() << 20);
}
BENCHMARK(loopback_fetch_a_mebibyte)->ArgName("in_flight")->Arg(1)->UseRealTime();

}  // namespace
}  // namespace barnabas::bench
