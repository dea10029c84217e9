#include "loadgen/frames.h"

#include <algorithm>
#include <string_view>

#include "base/varint.h"

namespace barnabas::loadgen {
namespace {

constexpr std::string_view kClientId = "barnabas-bench";
constexpr int32_t kProduceTimeoutMs = 30'000;
constexpr size_t kCorrelationAt = 8;
constexpr size_t kBorrowedBytes = 4096;  // copying less costs less than one more piece to send

/// Appends the primitives of the flexible encoding.
class Writer {
 public:
  explicit Writer(std::vector<uint8_t>& bytes) : bytes_(bytes) {}

  template <class T>
  void write(T value) {
    bytes_.resize(bytes_.size() + sizeof(T));
    store_be(bytes_.data() + bytes_.size() - sizeof(T), value);
  }
  /// The length of a string, an array or records.
  void write_length(size_t length) {
    uint8_t varint[kMaxVarint64Bytes];
    bytes_.insert(bytes_.end(), varint, write_uvarint(varint, length + 1));
  }
  void write_string(std::string_view text) {
    write_length(text.size());
    bytes_.insert(bytes_.end(), text.begin(), text.end());
  }
  void write_no_tags() { bytes_.push_back(0); }

  void write_header(int16_t key, int16_t version) {
    write<int32_t>(0);  // size
    write(key);
    write(version);
    write<int32_t>(0);  // correlation id
    write(static_cast<int16_t>(kClientId.size()));
    bytes_.insert(bytes_.end(), kClientId.begin(), kClientId.end());
    write_no_tags();
  }

 private:
  std::vector<uint8_t>& bytes_;
};

void patch_head(uint8_t* frame, size_t frame_bytes, int32_t correlation_id) {
  store_be<int32_t>(frame, static_cast<int32_t>(frame_bytes - sizeof(int32_t)));
  store_be<int32_t>(frame + kCorrelationAt, correlation_id);
}

}  // namespace

ProduceFrame::ProduceFrame(const PartitionPlan& partition, int16_t acks) {
  Writer writer(head_);
  writer.write_header(kProduceKey, kProduceVersion);
  writer.write<int8_t>(0);  // no transactional id
  writer.write(acks);
  writer.write(kProduceTimeoutMs);
  writer.write_length(1);
  writer.write_string(partition.topic);
  writer.write_length(1);
  writer.write(partition.partition);
}

void ProduceFrame::append_to(Outbox& outbox, int32_t correlation_id, ByteView batch,
                             bool is_lasting) const {
  constexpr size_t kTailBytes = 3;  // no tagged fields: of the partition, the topic, the request
  const size_t length = batch.size() + 1;
  const auto length_bytes = static_cast<size_t>(uvarint_size(length));
  const size_t head_bytes = head_.size() + length_bytes;
  const bool is_borrowed = is_lasting && batch.size() >= kBorrowedBytes;

  uint8_t* p = outbox.grow(head_bytes + (is_borrowed ? 0 : batch.size() + kTailBytes));
  std::memcpy(p, head_.data(), head_.size());
  patch_head(p, head_bytes + batch.size() + kTailBytes, correlation_id);
  p = write_uvarint(p + head_.size(), length);
  if (is_borrowed) {
    outbox.append_borrowed(batch);
    p = outbox.grow(kTailBytes);
  } else {
    p = std::copy(batch.begin(), batch.end(), p);
  }
  std::memset(p, 0, kTailBytes);
}

FetchFrame::FetchFrame(const Plan& plan, std::span<const int32_t> partitions) {
  Writer writer(frame_);
  writer.write_header(kFetchKey, kFetchVersion);
  writer.write<int32_t>(-1);  // replica id
  writer.write(plan.fetch_max_wait_ms);
  writer.write(plan.fetch_min_bytes);
  writer.write(plan.fetch_max_bytes);
  writer.write<int8_t>(0);    // isolation level: read uncommitted
  writer.write<int32_t>(0);   // no session …
  writer.write<int32_t>(-1);  // … nor a wish for one

  const auto topic_of = [&](int32_t index) -> const std::string& {
    return plan.partitions[static_cast<size_t>(index)].topic;
  };
  size_t topics = 0;
  for (size_t i = 0; i < partitions.size(); ++i) {
    if (i == 0 || topic_of(partitions[i]) != topic_of(partitions[i - 1])) ++topics;
  }
  writer.write_length(topics);
  for (size_t first = 0; first < partitions.size();) {
    const std::string& topic = topic_of(partitions[first]);
    size_t last = first;
    while (last < partitions.size() && topic_of(partitions[last]) == topic) ++last;
    writer.write_string(topic);
    writer.write_length(last - first);
    for (; first < last; ++first) {
      writer.write(plan.partitions[static_cast<size_t>(partitions[first])].partition);
      writer.write<int32_t>(-1);  // current leader epoch
      offsets_at_.push_back(frame_.size());
      writer.write<int64_t>(0);   // fetch offset
      writer.write<int32_t>(-1);  // last fetched epoch
      writer.write<int64_t>(-1);  // log start offset
      writer.write(plan.partition_max_bytes);
      writer.write_no_tags();
    }
    writer.write_no_tags();
  }
  writer.write_length(0);  // forgotten topics
  writer.write_length(0);  // rack id
  writer.write_no_tags();
}

void FetchFrame::set_offset(size_t position, int64_t offset) {
  store_be(frame_.data() + offsets_at_[position], offset);
}

void FetchFrame::append_to(Outbox& outbox, int32_t correlation_id) {
  patch_head(frame_.data(), frame_.size(), correlation_id);
  outbox.append(frame_);
}

}  // namespace barnabas::loadgen
