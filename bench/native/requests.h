// Produce and Fetch requests as whole frames, in the versions that most clients of today send.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

#include "dataplane/response_writer.h"
#include "fixture.h"

namespace barnabas::bench {

inline constexpr char kTopic[] = "bench";
inline constexpr int16_t kProduceVersion = 9;
inline constexpr int16_t kFetchVersion = 12;

inline void begin_frame(dataplane::ResponseWriter& out, int16_t api_key, int16_t version) {
  out.write(int32_t{0});  // the length, set by end_frame
  out.write(api_key);
  out.write(version);
  out.write(int32_t{1});  // correlation id
  out.write(int16_t{5});  // client id
  out.write_bytes(as_bytes("bench"));
  out.write(int8_t{0});  // tagged fields of the header
}

inline Bytes end_frame(dataplane::ResponseWriter& out) {
  Bytes frame = out.take();
  store_be<int32_t>(frame.data(), static_cast<int32_t>(frame.size() - sizeof(int32_t)));
  return frame;
}

/// One batch to partition 0, acks=all.
inline Bytes produce_frame(ByteView batch) {
  dataplane::ResponseWriter out(true, 256 + batch.size());
  begin_frame(out, 0, kProduceVersion);
  out.write_nullable_string(std::nullopt);  // transactional id
  out.write(int16_t{-1});                   // acks
  out.write(int32_t{30'000});
  out.write_array_length(1);
  out.write_string(kTopic);
  out.write_array_length(1);
  out.write(int32_t{0});
  out.write_records_length(batch.size());
  out.write_bytes(batch);
  for (int i = 0; i < 3; ++i) out.write_empty_tags();
  return end_frame(out);
}

/// A Fetch that does not wait. Names the partitions 0 to `partitions` - 1, each from `offset` on.
struct FetchSpec {
  int64_t offset = 0;
  int32_t partitions = 1;
  int32_t session_id = 0;
  int32_t session_epoch = -1;  // no session
};

/// Where the session epoch stands in a frame of fetch_frame().
inline constexpr size_t kSessionEpochAt = 41;

inline Bytes fetch_frame(const FetchSpec& spec) {
  dataplane::ResponseWriter out(true, 128);
  begin_frame(out, 1, kFetchVersion);
  out.write(int32_t{-1});  // replica id
  out.write(int32_t{0});   // max wait
  out.write(int32_t{1});   // min bytes
  out.write(int32_t{50 << 20});
  out.write(int8_t{0});  // isolation
  out.write(spec.session_id);
  if (out.size() != kSessionEpochAt) die("kSessionEpochAt is wrong");
  out.write(spec.session_epoch);
  out.write_array_length(spec.partitions > 0 ? 1 : 0);
  if (spec.partitions > 0) {
    out.write_string(kTopic);
    out.write_array_length(static_cast<size_t>(spec.partitions));
    for (int32_t i = 0; i < spec.partitions; ++i) {
      out.write(i);
      out.write(int32_t{-1});  // current leader epoch
      out.write(spec.offset);
      out.write(int32_t{-1});  // last fetched epoch
      out.write(int64_t{-1});  // log start offset
      out.write(int32_t{1 << 20});
      out.write_empty_tags();
    }
    out.write_empty_tags();
  }
  out.write_array_length(0);  // forgotten topics
  out.write_string("");       // rack id
  out.write_empty_tags();
  return end_frame(out);
}

}  // namespace barnabas::bench
