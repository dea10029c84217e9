// What requests cost the broker: Produce requests of one record and of a full batch, acks=all, and
// Fetch requests at the log's end, one batch before it, and of a megabyte, over loopback, with a
// client in the same process.
//
//   request_bench [requests] [in flight]
//
// Broker CPU is the process's less the client thread's.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <string>
#include <vector>

#include "dataplane/engine.h"
#include "dataplane/response_writer.h"
#include "record/builder.h"

namespace barnabas::dataplane {
namespace {

using Bytes = std::vector<uint8_t>;

double seconds(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

[[noreturn]] void die(const std::string& why) {
  std::fprintf(stderr, "request_bench: %s\n", why.c_str());
  std::exit(1);
}

void begin_frame(ResponseWriter& out, int16_t api_key, int16_t version) {
  out.write(int32_t{0});  // the length, set by end_frame
  out.write(api_key);
  out.write(version);
  out.write(int32_t{1});  // correlation id
  out.write(int16_t{5});  // client id
  out.write_bytes(as_bytes("bench"));
  out.write(int8_t{0});  // tagged fields of the header
}

Bytes end_frame(ResponseWriter& out) {
  Bytes frame = out.take();
  store_be<int32_t>(frame.data(), static_cast<int32_t>(frame.size() - sizeof(int32_t)));
  return frame;
}

Bytes produce_frame(size_t value_bytes, size_t batch_bytes) {
  record::BatchBuilder builder({});
  const std::string value(value_bytes, 'v');
  do {
    builder.append(system_clock().wall_ms(), std::nullopt, as_bytes(value));
  } while (builder.size_bytes() < batch_bytes);
  const auto batch = builder.build();
  if (!batch.ok()) die(batch.error().message);
  ResponseWriter out(true, 256);
  begin_frame(out, 0, 9);
  out.write_nullable_string(std::nullopt);  // transactional id
  out.write(int16_t{-1});                   // acks
  out.write(int32_t{30'000});
  out.write_array_length(1);
  out.write_string("bench");
  out.write_array_length(1);
  out.write(int32_t{0});
  out.write_records_length(batch->size());
  out.write_bytes(*batch);
  for (int i = 0; i < 3; ++i) out.write_empty_tags();
  return end_frame(out);
}

Bytes fetch_frame(int64_t offset) {
  ResponseWriter out(true, 128);
  begin_frame(out, 1, 12);
  out.write(int32_t{-1});  // replica id
  out.write(int32_t{0});   // max wait
  out.write(int32_t{1});   // min bytes
  out.write(int32_t{50 << 20});
  out.write(int8_t{0});    // isolation
  out.write(int32_t{0});   // session id
  out.write(int32_t{-1});  // session epoch
  out.write_array_length(1);
  out.write_string("bench");
  out.write_array_length(1);
  out.write(int32_t{0});
  out.write(int32_t{-1});  // current leader epoch
  out.write(offset);
  out.write(int32_t{-1});  // last fetched epoch
  out.write(int64_t{-1});  // log start offset
  out.write(int32_t{1 << 20});
  for (int i = 0; i < 2; ++i) out.write_empty_tags();
  out.write_array_length(0);  // forgotten topics
  out.write_string("");       // rack id
  out.write_empty_tags();
  return end_frame(out);
}

void read_exactly(int fd, uint8_t* out, size_t count) {
  while (count > 0) {
    const ssize_t got = ::recv(fd, out, count, 0);
    if (got <= 0) die("the broker closed the connection");
    out += got;
    count -= static_cast<size_t>(got);
  }
}

void measure(const char* name, int fd, const Bytes& frame, int requests, int in_flight) {
  const double wall = seconds(CLOCK_MONOTONIC);
  const double process = seconds(CLOCK_PROCESS_CPUTIME_ID);
  const double client = seconds(CLOCK_THREAD_CPUTIME_ID);
  Bytes burst;
  for (int i = 0; i < in_flight; ++i) burst.insert(burst.end(), frame.begin(), frame.end());
  Bytes answer;
  double bytes = 0;
  for (int done = 0; done < requests; done += in_flight) {
    if (::send(fd, burst.data(), burst.size(), 0) != static_cast<ssize_t>(burst.size())) {
      die("a short send");
    }
    for (int i = 0; i < in_flight; ++i) {
      uint8_t length[4];
      read_exactly(fd, length, sizeof length);
      answer.resize(load_be<uint32_t>(length));
      bytes += static_cast<double>(answer.size());
      read_exactly(fd, answer.data(), answer.size());
    }
  }
  const double elapsed = seconds(CLOCK_MONOTONIC) - wall;
  const double broker =
      seconds(CLOCK_PROCESS_CPUTIME_ID) - process - (seconds(CLOCK_THREAD_CPUTIME_ID) - client);
  bytes += static_cast<double>(frame.size()) * requests;
  std::printf("%-14s %3d in flight: %8.0f requests/s, %7.2f us of broker CPU each, %6.3f s a GB\n",
              name, in_flight, requests / elapsed, broker / requests * 1e6, broker / bytes * 1e9);
}

void run(int requests, int in_flight) {
  auto engine = Engine::create({{"num.network.threads", int64_t{1}}});
  if (!engine.ok()) die(engine.error().message);
  std::string directory = (std::filesystem::temp_directory_path() / "barnabas-XXXXXX").string();
  if (::mkdtemp(directory.data()) == nullptr) die("mkdtemp");
  const auto opened = (*engine)->open_directory(directory + "/data", "bench", 1);
  if (!opened.ok()) die(opened.error().message);
  const std::pair<int32_t, int32_t> partition{0, 0};
  const Status created = (*engine)->create_partitions("bench", Uuid{{1}}, {&partition, 1}, {});
  if (!created.ok()) die(created.error().message);
  const auto port = (*engine)->listen("127.0.0.1", 0);
  if (!port.ok()) die(port.error().message);
  if (const Status started = (*engine)->start(); !started.ok()) die(started.error().message);

  const UniqueFd fd(::socket(AF_INET, SOCK_STREAM, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(*port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    die("connect");
  }
  const Bytes produce = produce_frame(100, 0);
  for (const int burst : {1, in_flight}) {
    measure("produce one", fd.get(), produce, requests, burst);
  }
  const int64_t end = (*engine)->partition_info("bench", 0)->log_end_offset;
  for (const int burst : {1, in_flight}) {
    measure("fetch nothing", fd.get(), fetch_frame(end), requests, burst);
    measure("fetch one", fd.get(), fetch_frame(end - 1), requests, burst);
  }
  constexpr size_t kBatchBytes = 100'000;
  const int large = requests / 50;
  for (const size_t value_bytes : {100, 1000}) {
    const std::string name = "produce " + std::to_string(value_bytes) + " B";
    measure(name.c_str(), fd.get(), produce_frame(value_bytes, kBatchBytes), large, 4);
  }
  measure("fetch 1 MiB", fd.get(), fetch_frame(end), large / 10, 1);
  (void)(*engine)->stop(0);
  std::filesystem::remove_all(directory);
}

}  // namespace
}  // namespace barnabas::dataplane

int main(int argc, char** argv) {
  const int requests = argc > 1 ? std::atoi(argv[1]) : 100'000;
  const int in_flight = argc > 2 ? std::atoi(argv[2]) : 32;
  barnabas::dataplane::run(requests, in_flight);
  return 0;
}
