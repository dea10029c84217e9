// A log that is compacted: what is put into it, and what is left.
#pragma once

#include <fstream>
#include <functional>
#include <map>

#include "base/crc32c.h"
#include "log_fixture.h"
#include "record/codec.h"
#include "storage/cleaner.h"

namespace barnabas::storage {

namespace fs = std::filesystem;

struct KeyValue {
  int64_t offset = 0;
  int64_t timestamp = 0;
  std::optional<std::string> key;
  std::optional<std::string> value;
  friend bool operator==(const KeyValue&, const KeyValue&) = default;
};

inline std::optional<std::string> text(const std::optional<ByteView>& bytes) {
  if (!bytes) return std::nullopt;
  return std::string(bytes->begin(), bytes->end());
}

class CleanTest : public LogTest {
 protected:
  CleanTest() {
    config.compact = true;
    config.delete_old = false;
    config.segment_bytes = 1200;
    config.index_interval_bytes = 200;
    config.min_cleanable_dirty_ratio = 0;
    config.delete_retention_ms = 1000;
  }

  struct Put {
    std::string key;
    std::optional<std::string> value;
  };
  AppendInfo put(const std::vector<Put>& records, record::BatchOptions options = {},
                 int64_t timestamp = 1'700'000'000'000) {
    record::BatchBuilder builder(options);
    for (const Put& one : records) {
      const auto value = one.value ? std::optional(as_bytes(*one.value)) : std::nullopt;
      builder.append(timestamp++, as_bytes(one.key), value);
    }
    return append_bytes(std::move(builder.build()).value());
  }
  AppendInfo append_bytes(std::vector<uint8_t> bytes) {
    AppendBatch batch;
    batch.bytes = bytes;
    auto appended = log->append(batch, 0);
    EXPECT_TRUE(appended.ok()) << appended.error().message;
    return appended.ok() ? *appended : AppendInfo{};
  }
  /// A control batch that ends the producer's transaction.
  void put_marker(int64_t producer_id, bool commit) {
    record::BatchOptions options;
    options.producer_id = producer_id;
    options.producer_epoch = 0;
    options.transactional = true;
    options.control = true;
    options.base_offset = log->log_end_offset();
    record::BatchBuilder builder(options);
    const std::vector<uint8_t> key{0, 0, 0, static_cast<uint8_t>(commit ? 1 : 0)};
    const std::vector<uint8_t> value{0, 0, 0, 0, 0, 0};
    builder.append(1'700'000'000'000, ByteView(key), ByteView(value));
    ASSERT_TRUE(log->append_as_follower(std::move(builder.build()).value()).ok());
  }
  void put_in_transaction(int64_t producer_id, int32_t sequence, const std::vector<Put>& records) {
    record::BatchOptions options;
    options.producer_id = producer_id;
    options.producer_epoch = 0;
    options.base_sequence = sequence;
    options.transactional = true;
    options.base_offset = log->log_end_offset();
    record::BatchBuilder builder(options);
    for (const Put& one : records) {
      const auto value = one.value ? std::optional(as_bytes(*one.value)) : std::nullopt;
      builder.append(1'700'000'000'000, as_bytes(one.key), value);
    }
    ASSERT_TRUE(log->append_as_follower(std::move(builder.build()).value()).ok());
  }
  CleanStats clean(CleanSettings settings = {}) {
    auto cleaned = log->clean(log->log_end_offset(), settings);
    EXPECT_TRUE(cleaned.ok()) << cleaned.error().message;
    return cleaned.ok() ? *cleaned : CleanStats{};
  }
  std::vector<std::vector<uint8_t>> batches() {
    std::vector<std::vector<uint8_t>> found;
    int64_t offset = log->log_start_offset();
    while (offset < log->log_end_offset()) {
      auto slice = log->read(offset, 1 << 20, INT64_MAX, true);
      EXPECT_TRUE(slice.ok()) << slice.error().message;
      if (!slice.ok()) return found;
      const std::vector<uint8_t> bytes = bytes_of(*slice);
      ByteView rest(bytes);
      const int64_t before = offset;
      while (const auto batch = record::peek_batch(rest)) {
        EXPECT_EQ(batch->crc(), crc32c(batch->crc_payload()));
        const ByteView whole = batch->bytes();
        found.emplace_back(whole.begin(), whole.end());
        offset = batch->next_offset();
        rest = rest.subspan(batch->size_bytes());
      }
      if (offset == before) break;  // nothing at the end
    }
    return found;
  }
  /// The batches in the files, also those that readers are not given.
  std::vector<std::vector<uint8_t>> stored_batches() {
    std::vector<std::vector<uint8_t>> found;
    for (const auto& name : names_with(".log")) {
      std::ifstream in(file(name), std::ios::binary);
      const std::vector<uint8_t> bytes{std::istreambuf_iterator<char>(in), {}};
      ByteView rest(bytes);
      while (const auto batch = record::peek_batch(rest)) {
        const ByteView whole = batch->bytes();
        found.emplace_back(whole.begin(), whole.end());
        rest = rest.subspan(whole.size());
      }
    }
    return found;
  }
  /// Every data record there is.
  std::vector<KeyValue> records() {
    std::vector<KeyValue> found;
    for (const auto& bytes : batches()) {
      const record::BatchView batch{ByteView(bytes)};
      if (batch.is_control()) continue;
      std::vector<uint8_t> expanded;
      ByteView block = batch.records();
      if (batch.codec_id() != 0) {
        expanded = record::decompress(static_cast<record::Codec>(batch.codec_id()), block, 1 << 24)
                       .value();
        block = expanded;
      }
      record::RecordReader reader(block, batch.record_count());
      while (const auto record = reader.next().value()) {
        found.push_back({batch.base_offset() + record->offset_delta,
                         batch.base_timestamp() + record->timestamp_delta, text(record->key),
                         text(record->value)});
      }
    }
    return found;
  }
  /// Last value by key, of a full reading: what compaction must not change.
  std::map<std::string, KeyValue> state() {
    std::map<std::string, KeyValue> last;
    for (const KeyValue& record : records()) last[*record.key] = record;
    return last;
  }
  void fill(int rounds, int keys = 10, record::BatchOptions options = {}) {
    for (int i = 0; i < rounds; ++i) {
      std::vector<Put> some;
      for (int k = 0; k < 5; ++k) {
        const std::string key = "key-" + std::to_string((i * 5 + k * 3) % keys);
        some.push_back({key, "value-" + std::to_string(i * 100 + k) + std::string(40, 'x')});
      }
      put(some, options);
    }
  }
};

}  // namespace barnabas::storage
