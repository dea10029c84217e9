#include "loadgen/batch_source.h"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <optional>
#include <string>

#include "base/crc32c.h"
#include "base/varint.h"
#include "record/codec.h"

namespace barnabas::loadgen {
namespace {

namespace field = record::field;

constexpr size_t kTemplateBytes = 64 << 20;  // of all templates together, as far as one each allows
constexpr size_t kVariants = 8;              // templates of a group
constexpr size_t kCutBytes = 64 << 20;       // of kept compressed batches, a worker
constexpr int32_t kMaxRecords = 1 << 20;     // of a batch

constexpr size_t kWords = 512;
constexpr size_t kShortestWord = 3;
constexpr size_t kLongestWord = 10;

/// Words with a space behind each, the same in every run.
std::vector<std::vector<uint8_t>> make_words() {
  Random random(kWords);
  std::vector<std::vector<uint8_t>> words(kWords);
  for (auto& word : words) {
    word.resize(kShortestWord + random.next() % (kLongestWord - kShortestWord + 1));
    for (uint8_t& letter : word) letter = static_cast<uint8_t>('a' + random.next() % 26);
    word.push_back(' ');
  }
  return words;
}

/// Random words: codecs find in them about what they find in a log file.
void fill_text(MutableBytes out, Random& random) {
  static const auto words = make_words();
  while (!out.empty()) {
    const auto& word = words[random.next() % kWords];
    const size_t take = std::min(word.size(), out.size());
    std::copy_n(word.begin(), take, out.begin());
    out = out.subspan(take);
  }
}

size_t varint_size(int64_t value) {
  return static_cast<size_t>(uvarint_size(zigzag_encode(value)));
}

uint8_t* write_signed(uint8_t* p, int64_t value) { return write_uvarint(p, zigzag_encode(value)); }

/// Appends one record; returns where its value begins.
size_t append_record(std::vector<uint8_t>& to, int32_t offset_delta,
                     const std::optional<std::string>& key, ByteView value) {
  const int64_t key_length = key ? static_cast<int64_t>(key->size()) : -1;
  const auto value_length = static_cast<int64_t>(value.size());
  const size_t body = 3 + varint_size(offset_delta) + varint_size(key_length) +
                      (key ? key->size() : 0) + varint_size(value_length) + value.size();
  const size_t start = to.size();
  to.resize(start + varint_size(static_cast<int64_t>(body)) + body);
  uint8_t* p = write_signed(to.data() + start, static_cast<int64_t>(body));
  *p++ = 0;  // attributes
  *p++ = 0;  // timestamp delta
  p = write_signed(p, offset_delta);
  p = write_signed(p, key_length);
  if (key) p = std::copy(key->begin(), key->end(), p);
  p = write_signed(p, value_length);
  const auto value_at = static_cast<size_t>(p - to.data());
  p = std::copy(value.begin(), value.end(), p);
  *p++ = 0;  // no headers
  assert(p == to.data() + to.size());
  return value_at;
}

void write_header(uint8_t* p, int64_t timestamp_ms, record::Codec codec) {
  store_be<int64_t>(p + field::kBaseOffset, 0);
  store_be<int32_t>(p + field::kLeaderEpoch, -1);
  store_be<int8_t>(p + field::kMagicByte, record::kMagic);
  store_be<int16_t>(p + field::kAttributes, static_cast<int16_t>(codec));
  store_be<int64_t>(p + field::kBaseTimestamp, timestamp_ms);
  store_be<int64_t>(p + field::kMaxTimestamp, timestamp_ms);
  store_be<int64_t>(p + field::kProducerId, record::kNoProducerId);
  store_be<int16_t>(p + field::kProducerEpoch, record::kNoProducerEpoch);
  store_be<int32_t>(p + field::kBaseSequence, record::kNoSequence);
}

/// Compresses the records of `batch`, sets what depends on their number and size, and the CRC.
Status seal(std::vector<uint8_t>& batch, int32_t count, record::Codec codec) {
  if (codec != record::Codec::kNone) {
    const ByteView records = ByteView(batch).subspan(record::kBatchHeaderSize);
    BARNABAS_ASSIGN(const std::vector<uint8_t> block, record::compress(codec, records));
    batch.resize(record::kBatchHeaderSize);
    batch.insert(batch.end(), block.begin(), block.end());
  }
  uint8_t* const p = batch.data();
  store_be<int32_t>(p + field::kBatchLength,
                    static_cast<int32_t>(batch.size() - record::kBatchOverhead));
  store_be<int32_t>(p + field::kLastOffsetDelta, count - 1);
  store_be<int32_t>(p + field::kRecordCount, count);
  store_be<uint32_t>(p + field::kCrc, crc32c(record::BatchView(batch).crc_payload()));
  return {};
}

}  // namespace

Result<std::unique_ptr<BatchTemplates>> BatchTemplates::build(const Plan& plan,
                                                              int64_t timestamp_ms) {
  auto templates = std::make_unique<BatchTemplates>();
  templates->codec_ = plan.codec;
  const bool has_keys = plan.key_distribution != KeyDistribution::kNone;
  if (has_keys) {
    templates->keys_ =
        std::make_unique<Keys>(plan.key_distribution, plan.keys, plan.partitions_per_topic);
  }
  const int32_t groups = has_keys ? plan.partitions_per_topic : 1;
  templates->groups_.resize(static_cast<size_t>(groups));
  const auto batch_bytes = static_cast<size_t>(
      plan.batch_records > 0 ? int64_t{plan.batch_records} * plan.record_size : plan.batch_bytes);
  const size_t variants = std::clamp<size_t>(
      kTemplateBytes / (batch_bytes + 1) / static_cast<size_t>(groups), 1, kVariants);
  for (int32_t partition = 0; partition < groups; ++partition) {
    if (templates->weight(partition) == 0) continue;
    auto& group = templates->groups_[static_cast<size_t>(partition)];
    for (size_t variant = 0; variant < variants; ++variant) {
      const uint64_t seed = static_cast<uint64_t>(partition) * kVariants + variant;
      BARNABAS_TRY(templates->add(group, plan, partition, timestamp_ms, seed));
    }
  }
  return templates;
}

Status BatchTemplates::add(std::vector<BatchTemplate>& group, const Plan& plan, int32_t partition,
                           int64_t timestamp_ms, uint64_t seed) {
  BatchTemplate built;
  Random random(seed);
  built.plain.resize(record::kBatchHeaderSize);
  write_header(built.plain.data(), timestamp_ms, plan.codec);
  std::vector<uint8_t> value(static_cast<size_t>(plan.record_size));
  const int32_t limit = plan.batch_records > 0 ? plan.batch_records : kMaxRecords;
  for (int32_t index = 0; index < limit; ++index) {
    std::optional<std::string> key;
    if (keys_ != nullptr) key = key_name(keys_->draw(partition, random));
    fill_text(value, random);
    const size_t before = built.plain.size();
    const size_t value_at = append_record(built.plain, index, key, value);
    const bool fits =
        plan.batch_records > 0 || built.plain.size() <= static_cast<size_t>(plan.batch_bytes);
    if (!fits && index > 0) {  // a batch has one record at least
      built.plain.resize(before);
      break;
    }
    built.values.push_back(static_cast<uint32_t>(value_at));
    built.ends.push_back(static_cast<uint32_t>(built.plain.size()));
  }
  const auto count = static_cast<int32_t>(built.ends.size());
  // Keys all have one length, so that every template holds as many records.
  assert(full_count_ == 0 || full_count_ == count);
  full_count_ = count;
  built.complete = built.plain;
  BARNABAS_TRY(seal(built.complete, count, codec_));
  group.push_back(std::move(built));
  return {};
}

Result<ByteView> BatchSource::take(int32_t partition, int32_t count) {
  assert(count > 0 && count <= templates_.full_count());
  const BatchTemplate& from = templates_.choose(partition, turn_++);
  if (count == templates_.full_count()) return ByteView(from.complete);
  return cut(from, count);
}

Result<ByteView> BatchSource::take_stamped(int32_t partition, uint64_t run,
                                           std::span<const int64_t> due_ns) {
  const BatchTemplate& from = templates_.choose(partition, turn_++);
  scratch_.assign(from.plain.begin(), from.plain.begin() + from.ends[due_ns.size() - 1]);
  for (size_t i = 0; i < due_ns.size(); ++i) {
    uint8_t* const value = scratch_.data() + from.values[i];
    store_be<uint64_t>(value, run);
    store_be<int64_t>(value + 8, due_ns[i]);
  }
  return finish(static_cast<int32_t>(due_ns.size()));
}

Result<ByteView> BatchSource::cut(const BatchTemplate& from, int32_t count) {
  const auto end = from.plain.begin() + from.ends[static_cast<size_t>(count) - 1];
  if (templates_.codec() == record::Codec::kNone) {
    scratch_.assign(from.plain.begin(), end);
    return finish(count);
  }
  const std::pair name(&from, count);
  if (const auto kept = cut_batches_.find(name); kept != cut_batches_.end()) {
    return ByteView(kept->second);
  }
  std::vector<uint8_t> batch(from.plain.begin(), end);
  BARNABAS_TRY(seal(batch, count, templates_.codec()));
  if (cut_bytes_ + batch.size() > kCutBytes) {
    cut_batches_.clear();
    cut_bytes_ = 0;
  }
  cut_bytes_ += batch.size();
  return ByteView(cut_batches_.emplace(name, std::move(batch)).first->second);
}

Result<ByteView> BatchSource::finish(int32_t count) {
  BARNABAS_TRY(seal(scratch_, count, templates_.codec()));
  return ByteView(scratch_);
}

}  // namespace barnabas::loadgen
