#include "loadgen/fetch_reader.h"

#include <algorithm>

#include "base/crc32c.h"
#include "base/varint.h"
#include "loadgen/plan.h"

namespace barnabas::loadgen {
namespace {

constexpr size_t kMaxHeadBytes = 24;    // at most, up to the topics' count
constexpr size_t kTopicBytes = 300;     // at most: a name is 249 characters or less
constexpr size_t kPartitionBytes = 56;  // at most, without aborted transactions
constexpr size_t kTagBytes = 10;        // at most, of a tag's number and size

Error malformed() { return peer_error("the broker's answer to Fetch is malformed"); }

/// Reads varints off the front; remembers when one did not fit.
class Cursor {
 public:
  explicit Cursor(ByteView bytes) : begin_(bytes.data()), p_(begin_), end_(p_ + bytes.size()) {}

  template <class T>
  T read() {
    if (p_ == nullptr || end_ - p_ < static_cast<ptrdiff_t>(sizeof(T))) return fail(T{});
    const T value = load_be<T>(p_);
    p_ += sizeof(T);
    return value;
  }
  uint32_t read_varint() {
    uint32_t value = 0;
    if (p_ != nullptr) p_ = read_uvarint(p_, end_, value);
    return value;
  }
  /// A count or length, of which null is 0.
  uint32_t read_length() { return std::max<uint32_t>(read_varint(), 1) - 1; }
  ByteView read_bytes(size_t count) {
    if (p_ == nullptr || static_cast<size_t>(end_ - p_) < count) return fail(ByteView{});
    p_ += count;
    return {p_ - count, count};
  }
  [[nodiscard]] bool ok() const { return p_ != nullptr; }
  /// REQUIRES: ok()
  [[nodiscard]] size_t used() const { return static_cast<size_t>(p_ - begin_); }

 private:
  template <class T>
  T fail(T value) {
    p_ = nullptr;
    return value;
  }

  const uint8_t* begin_;
  const uint8_t* p_;
  const uint8_t* end_;
};

}  // namespace

Result<size_t> FetchReader::feed(ByteView bytes) {
  ByteView at = bytes;
  while (true) {
    BARNABAS_ASSIGN(const bool went_on, step(at));
    if (!went_on) return bytes.size() - at.size();
  }
}

size_t FetchReader::droppable() const {
  if (step_ == Step::kSkip) return skip_left_;
  return step_ == Step::kBody && !options_.verify && !options_.collect ? body_left_ : 0;
}

Status FetchReader::drop(size_t count) {
  answer_left_ -= count;
  if (step_ == Step::kSkip) {
    skip_left_ -= count;
    if (skip_left_ == 0) step_ = after_skip_;
    return {};
  }
  body_left_ -= count;
  return body_left_ > 0 ? Status{} : end_batch();
}

Result<bool> FetchReader::step(ByteView& at) {
  switch (step_) {
    case Step::kSize:
      return read_size(at);
    case Step::kHead:
      return read_head(at);
    case Step::kTopic:
      return read_topic(at);
    case Step::kPartition:
      return read_partition(at);
    case Step::kBatch:
      return read_batch(at);
    case Step::kBody:
      return read_body(at);
    case Step::kSkip:
      return skip(at);
    case Step::kTags:
      return read_tags(at);
    case Step::kTag:
      return read_tag(at);
  }
  return malformed();
}

bool FetchReader::has(ByteView at, size_t most) const {
  return at.size() >= std::min(most, answer_left_);
}

void FetchReader::take(ByteView& at, size_t count) {
  at = at.subspan(count);
  answer_left_ -= count;
}

bool FetchReader::read_size(ByteView& at) {
  if (at.size() < sizeof(int32_t)) return false;
  answer_left_ = load_be<uint32_t>(at.data());
  at = at.subspan(sizeof(int32_t));
  step_ = Step::kHead;
  return true;
}

Result<bool> FetchReader::read_head(ByteView& at) {
  if (!has(at, kMaxHeadBytes)) return false;
  Cursor cursor(at.first(std::min(at.size(), answer_left_)));
  correlation_id_ = cursor.read<int32_t>();
  const uint32_t tags = cursor.read_varint();
  cursor.read<int32_t>();  // throttle time
  const auto error = cursor.read<int16_t>();
  cursor.read<int32_t>();  // session id
  topics_left_ = cursor.read_length();
  if (!cursor.ok() || tags != 0) return malformed();
  take(at, cursor.used());
  if (error != 0) sink_.on_error(error);
  tags_of_ = TagsOf::kAnswer;
  step_ = topics_left_ > 0 ? Step::kTopic : Step::kTags;
  return true;
}

Result<bool> FetchReader::read_topic(ByteView& at) {
  if (!has(at, kTopicBytes)) return false;
  Cursor cursor(at.first(std::min(at.size(), answer_left_)));
  topic_ = as_text(cursor.read_bytes(cursor.read_length()));
  partitions_left_ = cursor.read_length();
  if (!cursor.ok()) return malformed();
  take(at, cursor.used());
  --topics_left_;
  tags_of_ = TagsOf::kTopic;
  step_ = partitions_left_ > 0 ? Step::kPartition : Step::kTags;
  return true;
}

Result<bool> FetchReader::read_partition(ByteView& at) {
  if (!has(at, kPartitionBytes)) return false;
  Cursor cursor(at.first(std::min(at.size(), answer_left_)));
  const auto partition = cursor.read<int32_t>();
  const auto error = cursor.read<int16_t>();
  cursor.read_bytes(3 * sizeof(int64_t));  // high watermark, last stable and log start offset
  const uint32_t aborted = cursor.read_length();
  cursor.read<int32_t>();  // preferred read replica
  records_left_ = cursor.read_length();
  if (!cursor.ok() || aborted > 0 || records_left_ > answer_left_ - cursor.used()) {
    return malformed();
  }
  take(at, cursor.used());
  --partitions_left_;
  BARNABAS_TRY(sink_.on_partition(topic_, partition, error));
  step_ = Step::kBatch;
  return true;
}

Result<bool> FetchReader::read_batch(ByteView& at) {
  if (records_left_ < record::kBatchHeaderSize) {  // nothing more, or the begin of a batch
    skip_left_ = records_left_;
    after_skip_ = Step::kTags;
    tags_of_ = TagsOf::kPartition;
    step_ = Step::kSkip;
    return true;
  }
  if (at.size() < record::kBatchHeaderSize) return false;
  const record::BatchView header(at.first(record::kBatchHeaderSize));
  if (header.magic() != record::kMagic || header.size_bytes() < record::kBatchHeaderSize) {
    return peer_error("the broker sent records in an older format than RecordBatch v2");
  }
  if (header.size_bytes() > records_left_) {  // cut off at a byte limit
    skip_left_ = records_left_;
    after_skip_ = Step::kTags;
    tags_of_ = TagsOf::kPartition;
    step_ = Step::kSkip;
    return true;
  }
  const ByteView bytes = at.first(record::kBatchHeaderSize);
  batch_.assign(bytes.begin(), bytes.end());
  if (options_.verify) crc_ = crc32c(bytes.subspan(record::field::kAttributes));
  body_left_ = body_bytes_ = header.size_bytes() - record::kBatchHeaderSize;
  records_left_ -= header.size_bytes();
  take(at, record::kBatchHeaderSize);
  step_ = Step::kBody;
  return true;
}

Result<bool> FetchReader::read_body(ByteView& at) {
  const ByteView part = at.first(std::min(at.size(), body_left_));
  if (options_.verify) crc_ = crc32c_extend(crc_, part);
  if (options_.collect) batch_.insert(batch_.end(), part.begin(), part.end());
  body_left_ -= part.size();
  take(at, part.size());
  if (body_left_ > 0) return false;
  BARNABAS_TRY(end_batch());
  return true;
}

Status FetchReader::end_batch() {
  const record::BatchView batch(batch_);
  step_ = Step::kBatch;
  return sink_.on_batch(batch, options_.verify && crc_ != batch.crc());
}

bool FetchReader::skip(ByteView& at) {
  const size_t count = std::min(at.size(), skip_left_);
  skip_left_ -= count;
  take(at, count);
  if (skip_left_ > 0) return false;
  step_ = after_skip_;
  return true;
}

Result<bool> FetchReader::read_tags(ByteView& at) {
  if (!has(at, kMaxVarint32Bytes)) return false;
  Cursor cursor(at.first(std::min(at.size(), answer_left_)));
  tags_left_ = cursor.read_varint();
  if (!cursor.ok()) return malformed();
  take(at, cursor.used());
  if (tags_left_ > 0) {
    step_ = Step::kTag;
  } else {
    BARNABAS_TRY(end_tags());
  }
  return true;
}

Result<bool> FetchReader::read_tag(ByteView& at) {
  if (tags_left_ == 0) {
    BARNABAS_TRY(end_tags());
    return true;
  }
  if (!has(at, kTagBytes)) return false;
  Cursor cursor(at.first(std::min(at.size(), answer_left_)));
  cursor.read_varint();  // which one
  skip_left_ = cursor.read_varint();
  if (!cursor.ok() || skip_left_ > answer_left_ - cursor.used()) return malformed();
  take(at, cursor.used());
  --tags_left_;
  after_skip_ = Step::kTag;
  step_ = Step::kSkip;
  return true;
}

Status FetchReader::end_tags() {
  if (tags_of_ == TagsOf::kPartition && partitions_left_ > 0) {
    step_ = Step::kPartition;
  } else if (tags_of_ == TagsOf::kPartition) {
    tags_of_ = TagsOf::kTopic;
    step_ = Step::kTags;
  } else if (tags_of_ == TagsOf::kTopic && topics_left_ > 0) {
    step_ = Step::kTopic;
  } else if (tags_of_ == TagsOf::kTopic) {
    tags_of_ = TagsOf::kAnswer;
    step_ = Step::kTags;
  } else {
    if (answer_left_ > 0) return malformed();
    step_ = Step::kSize;
    return sink_.on_end(correlation_id_);
  }
  return {};
}

}  // namespace barnabas::loadgen
