#include "net/frame_parser.h"

#include <array>
#include <string_view>

namespace barnabas::net {
namespace {

constexpr size_t kClientIdAt = kFramePrefixBytes + 8;

/// Other protocols that people point at a Kafka port: their first bytes, read as a length, would
/// make us wait for hundreds of megabytes. No Kafka client sends a request of exactly such a size.
const char* foreign_protocol(ByteView bytes) {
  if (bytes[0] == 0x16 && bytes[1] == 0x03) return "a TLS handshake on a plaintext port";
  constexpr std::array<std::string_view, 9> kHttpMethods = {"GET ", "POST", "PUT ", "HEAD", "OPTI",
                                                            "DELE", "PATC", "CONN", "PRI "};
  const std::string_view start = as_text(bytes.first(kFramePrefixBytes));
  for (const std::string_view method : kHttpMethods) {
    if (start == method) return "HTTP on the Kafka port";
  }
  return nullptr;
}

}  // namespace

FrameScan scan_frame(ByteView bytes, int64_t max_request_bytes) {
  if (bytes.size() < kFramePrefixBytes) return {};
  const auto length = load_be<int32_t>(bytes.data());
  const auto invalid = [](const char* reason) {
    return FrameScan{FrameScan::Status::kInvalid, 0, reason};
  };
  if (length < 0) return invalid("a negative request size");
  if (const char* foreign = foreign_protocol(bytes); foreign != nullptr) return invalid(foreign);
  if (length > max_request_bytes) return invalid("a request larger than socket.request.max.bytes");
  if (static_cast<size_t>(length) < kMinRequestBytes) return invalid("a request without a header");
  const size_t frame_bytes = kFramePrefixBytes + static_cast<size_t>(length);
  const bool complete = bytes.size() >= frame_bytes;
  return {complete ? FrameScan::Status::kComplete : FrameScan::Status::kIncomplete, frame_bytes,
          nullptr};
}

bool parse_request_header(MutableBytes frame, Request& request) {
  const uint8_t* const p = frame.data();
  request.api_key = load_be<int16_t>(p + kFramePrefixBytes);
  request.api_version = load_be<int16_t>(p + kFramePrefixBytes + 2);
  request.correlation_id = load_be<int32_t>(p + kFramePrefixBytes + 4);
  const auto length = load_be<int16_t>(p + kClientIdAt);
  size_t body_at = kClientIdAt + 2;
  request.client_id.reset();
  if (length >= 0) {
    const auto size = static_cast<size_t>(length);
    if (size > frame.size() - body_at) return false;
    request.client_id = as_text(frame.subspan(body_at, size));
    body_at += size;
  } else if (length != -1) {
    return false;
  }
  request.body = frame.subspan(body_at);
  return true;
}

}  // namespace barnabas::net
