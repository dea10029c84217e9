// Batches for tests, and ways to damage them.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/crc32c.h"
#include "record/builder.h"

namespace barnabas::record {

inline constexpr int64_t kNow = 1'700'000'000'000;  // ms; the tests' wall clock

using Bytes = std::vector<uint8_t>;

inline Bytes bytes_of(std::string_view text) { return {text.begin(), text.end()}; }

/// `count` records "key-i" -> "value-i", one ms apart, ending at kNow.
inline Bytes make_batch(int count, BatchOptions options = {}) {
  BatchBuilder builder(options);
  for (int i = 0; i < count; ++i) {
    const std::string key = "key-" + std::to_string(i);
    const std::string value = "value-" + std::to_string(i);
    builder.append(kNow - count + 1 + i, as_bytes(key), as_bytes(value));
  }
  auto batch = builder.build();
  EXPECT_TRUE(batch.ok());
  return std::move(batch).value();
}

/// Makes the CRC right again after a test changed something.
inline void reseal(Bytes& batch) {
  store_be<uint32_t>(batch.data() + field::kCrc, crc32c(BatchView(batch).crc_payload()));
}

template <class T>
void set_field(Bytes& batch, size_t position, T value) {
  store_be<T>(batch.data() + position, value);
  if (batch.size() >= kBatchHeaderSize && BatchView(batch).size_bytes() == batch.size()) {
    reseal(batch);
  }
}

/// A batch around a records block as it is given.
inline Bytes wrap_block(const Bytes& block, int32_t count, Codec codec = Codec::kNone) {
  Bytes batch = make_batch(1);
  batch.resize(kBatchHeaderSize);
  batch.insert(batch.end(), block.begin(), block.end());
  store_be<int32_t>(batch.data() + field::kBatchLength,
                    static_cast<int32_t>(batch.size() - kBatchOverhead));
  store_be<int16_t>(batch.data() + field::kAttributes, static_cast<int16_t>(codec));
  store_be<int32_t>(batch.data() + field::kLastOffsetDelta, count - 1);
  store_be<int32_t>(batch.data() + field::kRecordCount, count);
  reseal(batch);
  return batch;
}

inline const std::vector<Codec>& all_codecs() {
  static const std::vector<Codec> codecs{Codec::kNone, Codec::kGzip, Codec::kSnappy, Codec::kLz4,
                                         Codec::kZstd};
  return codecs;
}

}  // namespace barnabas::record
