// Fixed operations of the data path whose instructions ci/instructions.py counts under callgrind.
//
//   instructions toolchain    what compiled it, and the C library that it runs with
//   instructions list         a line an operation: name, how many times one run does it
//   instructions NAME         does it: what is counted is what count_here() calls
//
// A run is the same to the instruction: the clock stands still, random numbers have a fixed seed,
// and files have the same names everywhere, in a directory that is made in the current one and
// removed.
#include <gnu/libc-version.h>

#include <filesystem>
#include <functional>
#include <random>

#include "bare_plane.h"
#include "record/validate.h"

namespace barnabas::bench {
namespace {

constexpr char kDirectory[] = "instructions.logs";
constexpr int kWarmUp = 50;
constexpr int kLookupBatches = 4096;
constexpr int kSessionPartitions = 100;

using Body = std::function<void()>;

struct Operation {
  const char* name;
  int times;
  Body (*prepare)(const std::string& directory);
};

/// Storage finds room for a batch of 16 KiB: producer state, indexes, one pwrite.
Body append_batch(const std::string& directory) {
  auto fds = std::make_shared<storage::FdCache>(8);
  const std::shared_ptr<storage::Log> log = open_log(directory + "/bench-0", *fds);
  return [fds, log, batch = make_batch(1000, kBatchBytes)]() mutable { append(*log, batch); };
}

/// Header, CRC and every record of a batch of 16 KiB, with records of 100 B.
Body validate_batch(const std::string&) {
  return [batch = make_batch(100, kBatchBytes)]() mutable {
    const auto result = record::validate_batch(batch, {}, kNowMs);
    if (!std::holds_alternative<record::ValidatedBatch>(result)) die("refused");
  };
}

/// A Produce request of one record: frame, header, request, validation, append, answer.
Body produce_one_record(const std::string& directory) {
  auto plane = std::make_shared<BarePlane>(directory, 1);
  return [plane, sent = produce_frame(make_batch(100, 0)), frame = Bytes()]() mutable {
    frame = sent;  // the broker patches what it receives
    plane->offer(frame);
  };
}

/// A Fetch request at the tail of the log: frame, header, request, look-up, answer.
Body fetch_last_batch(const std::string& directory) {
  auto plane = std::make_shared<BarePlane>(directory, 1);
  for (int i = 0; i < kWarmUp; ++i) plane->offer(produce_frame(make_batch(100, kBatchBytes)));
  const int64_t end = plane->partition(0)->high_watermark();
  return [plane, frame = fetch_frame({.offset = end - 1})]() mutable {
    plane->offer(frame);
    if (plane->last_records_bytes() == 0) die("nothing was fetched");
  };
}

/// A Fetch request of a session over many partitions, one of which has something new.
Body fetch_in_session(const std::string& directory) {
  auto plane = std::make_shared<BarePlane>(directory, kSessionPartitions);
  plane->offer(produce_frame(make_batch(100, 0)));
  auto session = std::make_shared<FetchSessionOfMany>(*plane, kSessionPartitions);
  return [plane, session] {
    session->fetch();
    if (plane->last_records_bytes() == 0) die("nothing was fetched");
  };
}

/// An offset anywhere in a log: the index in its file, then the batches behind its entry.
Body find_any_offset(const std::string& directory) {
  auto fds = std::make_shared<storage::FdCache>(8);
  const std::shared_ptr<storage::Log> log = open_log(directory + "/bench-0", *fds);
  for (int i = 0; i < kLookupBatches; ++i) {
    Bytes batch = make_batch(100, 1000);
    append(*log, batch);
  }
  const auto end = static_cast<uint64_t>(log->log_end_offset());
  return [fds, log, end, random = std::mt19937_64(1)]() mutable {
    const auto offset = static_cast<int64_t>(random() % end);
    if (check(log->read(offset, 1 << 20, INT64_MAX, true)).first_batch_bytes == 0) die("not found");
  };
}

constexpr Operation kOperations[] = {
    {"append_batch", 2000, append_batch},
    {"validate_batch", 1000, validate_batch},
    {"produce_one_record", 2000, produce_one_record},
    {"fetch_last_batch", 2000, fetch_last_batch},
    {"fetch_in_session", 500, fetch_in_session},
    {"find_any_offset", 2000, find_any_offset},
};

}  // namespace
}  // namespace barnabas::bench

/// Callgrind knows it by this name.
extern "C" [[gnu::noinline]] void count_here(const std::function<void()>& body, int times) {
  for (int i = 0; i < times; ++i) body();
}

int main(int argc, char** argv) {
  using namespace barnabas::bench;
  const std::string asked = argc > 1 ? argv[1] : "";
  if (asked == "toolchain") {
#if defined(__clang__)
    std::printf("clang %s\n", __clang_version__);
#else
    std::printf("gcc %s\n", __VERSION__);
#endif
    std::printf("glibc %s\n", gnu_get_libc_version());
    return 0;
  }
  for (const Operation& operation : kOperations) {
    if (asked == "list") std::printf("%s %d\n", operation.name, operation.times);
    if (asked != operation.name) continue;
    if (!std::filesystem::create_directory(kDirectory)) die(std::string(kDirectory) + " exists");
    {
      const Body body = operation.prepare(kDirectory);
      for (int i = 0; i < kWarmUp; ++i) body();
      count_here(body, operation.times);
    }
    std::filesystem::remove_all(kDirectory);
    return 0;
  }
  if (asked == "list") return 0;
  std::fprintf(stderr, "usage: instructions toolchain|list|NAME\n");
  return 2;
}
