// What a record's bytes cost before they are written: checksum, codecs, validation, building.
//
// Rates are of uncompressed batch bytes.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <variant>

#include "base/crc32c.h"
#include "fixture.h"
#include "record/codec.h"
#include "record/validate.h"

namespace barnabas::bench {
namespace {

using namespace barnabas::record;

constexpr int64_t kLargeBatchBytes = 1 << 20;
constexpr const char* kCodecNames[] = {"none", "gzip", "snappy", "lz4", "zstd"};

size_t value_bytes(const benchmark::State& state) { return static_cast<size_t>(state.range(0)); }
size_t batch_bytes(const benchmark::State& state) { return static_cast<size_t>(state.range(1)); }
Codec codec(const benchmark::State& state) { return static_cast<Codec>(state.range(2)); }

Bytes plain_batch(const benchmark::State& state) {
  return make_batch(value_bytes(state), batch_bytes(state));
}

void count_bytes(benchmark::State& state, size_t each) {
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(each));
}

ValidationPolicy large_policy() {
  ValidationPolicy policy;
  policy.max_message_bytes = 4 << 20;
  return policy;
}

void expect_valid(MutableBytes batch, const ValidationPolicy& policy) {
  const auto result = validate_batch(batch, policy, kNowMs);
  if (const auto* failure = std::get_if<ValidationFailure>(&result)) die(failure->error.message);
}

// -- checksum

template <uint32_t (*kChecksum)(ByteView)>
void checksum(benchmark::State& state) {
  const Bytes bytes(static_cast<size_t>(state.range(0)), 'x');
  for (auto _ : state) benchmark::DoNotOptimize(kChecksum(bytes));
  count_bytes(state, bytes.size());
}
// The portable one, by tables, is what other processors get.
BENCHMARK_TEMPLATE(checksum, crc32c)->ArgName("B")->Arg(kBatchBytes)->Arg(kLargeBatchBytes);
BENCHMARK_TEMPLATE(checksum, crc32c_by_streams)
    ->ArgName("B")
    ->Arg(kBatchBytes)
    ->Arg(kLargeBatchBytes);
BENCHMARK_TEMPLATE(checksum, crc32c_portable)->ArgName("B")->Arg(kBatchBytes);

// -- codecs, by themselves

Bytes plain_records(const benchmark::State& state) {
  const Bytes batch = plain_batch(state);
  return {batch.begin() + kBatchHeaderSize, batch.end()};
}

void compress(benchmark::State& state) {
  const Bytes plain = plain_records(state);
  for (auto _ : state) benchmark::DoNotOptimize(check(record::compress(codec(state), plain)));
  count_bytes(state, plain.size());
  state.SetLabel(kCodecNames[state.range(2)]);
}
BENCHMARK(compress)
    ->ArgNames({"value_B", "batch_B", "codec"})
    ->ArgsProduct({{1000}, {kBatchBytes, kLargeBatchBytes}, {1, 2, 3, 4}});

void decompress(benchmark::State& state) {
  const Bytes plain = plain_records(state);
  const Bytes packed = check(record::compress(codec(state), plain));
  for (auto _ : state) {
    benchmark::DoNotOptimize(check(record::decompress(codec(state), packed, plain.size())));
  }
  count_bytes(state, plain.size());
  state.SetLabel(kCodecNames[state.range(2)]);
}
BENCHMARK(decompress)
    ->ArgNames({"value_B", "batch_B", "codec"})
    ->ArgsProduct({{1000}, {kBatchBytes, kLargeBatchBytes}, {1, 2, 3, 4}});

// -- validation

void validate(benchmark::State& state) {
  Bytes batch = make_batch(value_bytes(state), batch_bytes(state), {.codec = codec(state)});
  const ValidationPolicy policy = large_policy();
  for (auto _ : state) expect_valid(batch, policy);
  count_bytes(state, plain_batch(state).size());
  state.SetLabel(kCodecNames[state.range(2)]);
}
BENCHMARK(validate)
    ->ArgNames({"value_B", "batch_B", "codec"})
    ->ArgsProduct({{100, 1000}, {kBatchBytes}, {0, 1, 2, 3, 4}})
    ->ArgsProduct({{100, 1000}, {kLargeBatchBytes}, {0, 3}});

/// message.timestamp.type=LogAppendTime: header and CRC are rewritten.
void validate_append_time(benchmark::State& state) {
  const Bytes plain = plain_batch(state);
  Bytes batch = plain;
  ValidationPolicy policy = large_policy();
  policy.timestamp_type = TimestampType::kLogAppendTime;
  for (auto _ : state) {
    std::copy_n(plain.begin(), kBatchHeaderSize, batch.begin());
    expect_valid(batch, policy);
  }
  count_bytes(state, plain.size());
}
BENCHMARK(validate_append_time)->ArgNames({"value_B", "batch_B"})->Args({100, kBatchBytes});

/// compression.type=lz4 for a producer that does not compress.
void validate_recompress(benchmark::State& state) {
  const Bytes plain = plain_batch(state);
  Bytes batch;
  ValidationPolicy policy = large_policy();
  policy.recompress = true;
  policy.target_codec = Codec::kLz4;
  for (auto _ : state) expect_valid(batch = plain, policy);
  count_bytes(state, plain.size());
}
BENCHMARK(validate_recompress)->ArgNames({"value_B", "batch_B"})->Args({100, kBatchBytes});

// -- building

void build(benchmark::State& state) {
  const size_t plain_bytes = plain_batch(state).size();
  const auto values = make_values(value_bytes(state), batch_bytes(state));
  for (auto _ : state) benchmark::DoNotOptimize(build_batch(values, {.codec = codec(state)}));
  count_bytes(state, plain_bytes);
  state.SetLabel(kCodecNames[state.range(2)]);
}
BENCHMARK(build)
    ->ArgNames({"value_B", "batch_B", "codec"})
    ->ArgsProduct({{100, 1000}, {kBatchBytes}, {0, 1, 2, 3, 4}});

}  // namespace
}  // namespace barnabas::bench
