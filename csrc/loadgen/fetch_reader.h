// Reads the answers to Fetch requests as they come in, in pieces of any size, and never holds a
// whole one: an answer of 50 MB crosses a buffer that stays in the processor's cache. Records are
// counted by the headers of their batches; the bytes between are skipped, unless CRCs are to be
// checked or whole batches are asked for.
//
// Answer (version 12): size int32, correlation id int32, tagged fields, throttle time int32, error
// int16, session id int32, topics: name, partitions: index int32, error int16, high watermark
// int64, last stable offset int64, log start offset int64, aborted transactions, preferred replica
// int32, records, tagged fields; tagged fields; tagged fields.
//
// Thread-safety: belongs to one thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "record/batch.h"

namespace barnabas::loadgen {

/// Hears what an answer holds, in its order.
class FetchSink {
 public:
  virtual ~FetchSink() = default;
  /// Of the request as a whole, when not 0.
  virtual void on_error(int16_t error) = 0;
  /// The next partition of the answer; partitions come by topics, in any order.
  virtual Status on_partition(std::string_view topic, int32_t partition, int16_t error) = 0;
  /// A whole batch of that partition; its header only, unless batches are collected.
  virtual Status on_batch(const record::BatchView& batch, bool is_corrupt) = 0;
  /// The answer is complete.
  virtual Status on_end(int32_t correlation_id) = 0;
};

class FetchReader {
 public:
  struct Options {
    bool verify = false;   // checks CRCs
    bool collect = false;  // on_batch gets whole batches
  };
  FetchReader(Options options, FetchSink& sink) : options_(options), sink_(sink) {}

  /// Takes what it can; returns how many bytes, the rest has to come again with more behind it.
  Result<size_t> feed(ByteView bytes);
  /// How many of the bytes to come are of no interest, and only them.
  [[nodiscard]] size_t droppable() const;
  /// Goes on as if it had been fed as many. REQUIRES: count <= droppable()
  Status drop(size_t count);
  /// Of the batch that was begun last, without its header.
  [[nodiscard]] size_t body_bytes() const { return body_bytes_; }

 private:
  enum class Step : uint8_t { kSize, kHead, kTopic, kPartition, kBatch, kBody, kSkip, kTags, kTag };
  /// Which tagged fields are read.
  enum class TagsOf : uint8_t { kPartition, kTopic, kAnswer };

  // Each reads one thing off the front of `at`; false: not all of it is there.
  Result<bool> step(ByteView& at);
  bool read_size(ByteView& at);
  Result<bool> read_head(ByteView& at);
  Result<bool> read_topic(ByteView& at);
  Result<bool> read_partition(ByteView& at);
  Result<bool> read_batch(ByteView& at);
  Result<bool> read_body(ByteView& at);
  bool skip(ByteView& at);
  Result<bool> read_tags(ByteView& at);
  Result<bool> read_tag(ByteView& at);
  Status end_batch();
  Status end_tags();

  /// Whether `most` bytes, or all that is left of the answer, are there.
  [[nodiscard]] bool has(ByteView at, size_t most) const;
  void take(ByteView& at, size_t count);

  const Options options_;
  FetchSink& sink_;
  Step step_ = Step::kSize;
  Step after_skip_ = Step::kSize;
  TagsOf tags_of_ = TagsOf::kPartition;
  size_t answer_left_ = 0;   // bytes
  size_t records_left_ = 0;  // bytes of the partition's records
  size_t skip_left_ = 0;     // bytes to be skipped
  size_t body_left_ = 0;     // bytes of the batch that is read
  size_t body_bytes_ = 0;    // of all of that batch
  uint32_t topics_left_ = 0;
  uint32_t partitions_left_ = 0;
  uint32_t tags_left_ = 0;
  int32_t correlation_id_ = 0;
  uint32_t crc_ = 0;
  std::string topic_;
  std::vector<uint8_t> batch_;  // its header, or all of it
};

}  // namespace barnabas::loadgen
