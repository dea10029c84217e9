// Kafka's framing: where a frame ends, and what its request header says.
//
//   frame:  length int32 (bytes that follow), then
//           api_key int16, api_version int16, correlation_id int32,
//           client_id int16 length (-1: null) and bytes, [tagged fields when flexible], message
//
// Thread-safety: pure functions. Hostile input allocates nothing.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/bytes.h"
#include "net/server.h"

namespace barnabas::net {

inline constexpr size_t kFramePrefixBytes = 4;
inline constexpr size_t kMinRequestBytes = 10;  // header with a null client id

/// What the start of a buffer holds.
struct FrameScan {
  enum class Status : uint8_t { kIncomplete, kComplete, kInvalid };
  Status status = Status::kIncomplete;
  size_t frame_bytes = 0;        // prefix included; 0 while not even the prefix is there
  const char* reason = nullptr;  // of kInvalid, for the log
};

/// Looks at the first frame of `bytes`, which may hold less or more than one.
FrameScan scan_frame(ByteView bytes, int64_t max_request_bytes);

/// Reads the request header out of a whole frame (prefix included); `request.body` is the rest.
/// False when the client id does not fit the frame.
bool parse_request_header(MutableBytes frame, Request& request);

}  // namespace barnabas::net
