// What a record's bytes cost before they are written. Operations:
//
//   crc32c           the checksum alone
//   crc32c_portable  the same by tables, which is what other processors get
//   validate         validate_batch: header, CRC and every record, in place
//   validate_append_time  the same with LogAppendTime, which rewrites header and CRC
//   validate_recompress   the same with compression.type, from none to lz4
//
// Prints MB/s of uncompressed batch bytes, for batches of about 16 KiB and 1 MiB. Run alone.
#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

#include "base/crc32c.h"
#include "record/builder.h"
#include "record/validate.h"

namespace {

using namespace barnabas;
using namespace barnabas::record;

constexpr int64_t kNow = 1'700'000'000'000;
constexpr double kSecondsPerOperation = 0.4;

std::vector<uint8_t> make_batch(size_t value_size, size_t batch_size, Codec codec) {
  BatchBuilder builder({.codec = codec});
  std::string value(value_size, ' ');
  uint32_t state = 1;
  while (builder.size_bytes() < batch_size) {
    for (char& c : value)
      c = static_cast<char>('a' + ((state = state * 1664525 + 1013904223) >> 28));
    builder.append(kNow + builder.record_count() / 100, std::nullopt, as_bytes(value));
  }
  return std::move(builder.build()).value();
}

/// Runs `operation` on a fresh state each time and prints the rate.
template <class Operation>
void measure(const char* name, const char* what, size_t bytes, Operation operation) {
  using Clock = std::chrono::steady_clock;
  const auto start = Clock::now();
  double seconds = 0;
  int64_t rounds = 0;
  while (seconds < kSecondsPerOperation) {
    for (int i = 0; i < 16; ++i) operation();
    rounds += 16;
    seconds = std::chrono::duration<double>(Clock::now() - start).count();
  }
  std::printf("%-22s %-28s %9.0f MB/s\n", name, what,
              static_cast<double>(rounds) * static_cast<double>(bytes) / seconds / 1e6);
}

void expect_valid(const std::variant<ValidatedBatch, ValidationFailure>& result) {
  if (const auto* failure = std::get_if<ValidationFailure>(&result)) {
    std::fprintf(stderr, "refused: %s\n", failure->error.message.c_str());
    std::exit(1);
  }
}

void run(size_t value_size, size_t batch_size) {
  const std::string what =
      std::to_string(value_size) + " B values, " + std::to_string(batch_size >> 10) + " KiB batch";
  const auto plain = make_batch(value_size, batch_size, Codec::kNone);
  const size_t bytes = plain.size();
  uint32_t sink = 0;
  measure("crc32c", what.c_str(), bytes, [&] { sink ^= crc32c(plain); });
  measure("crc32c_portable", what.c_str(), bytes, [&] { sink ^= crc32c_portable(plain); });
  ValidationPolicy policy;
  policy.max_message_bytes = 4 << 20;
  static constexpr const char* kNames[] = {"validate", "validate gzip", "validate snappy",
                                           "validate lz4", "validate zstd"};
  for (int codec = 0; codec < 5; ++codec) {
    auto batch = make_batch(value_size, batch_size, static_cast<Codec>(codec));
    measure(kNames[codec], what.c_str(), bytes,
            [&] { expect_valid(validate_batch(batch, policy, kNow)); });
  }
  policy.timestamp_type = TimestampType::kLogAppendTime;
  auto scratch = plain;
  measure("validate_append_time", what.c_str(), bytes, [&] {
    std::copy_n(plain.begin(), kBatchHeaderSize, scratch.begin());
    expect_valid(validate_batch(scratch, policy, kNow));
  });
  policy.timestamp_type = TimestampType::kCreateTime;
  policy.recompress = true;
  policy.target_codec = Codec::kLz4;
  measure("validate_recompress", what.c_str(), bytes,
          [&] { expect_valid(validate_batch(scratch = plain, policy, kNow)); });
  if (sink == 42) std::puts("");  // keeps the checksums alive
}

}  // namespace

int main() {
  for (const size_t value_size : {100, 1000}) {
    for (const size_t batch_size : {16 << 10, 1 << 20}) run(value_size, batch_size);
  }
}
