#include "net/frame_parser.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "client.h"

namespace barnabas::net {
namespace {

using testing::put_be32;
using testing::request_frame;

constexpr int64_t kMaxRequestBytes = 1000;

std::vector<uint8_t> prefix_of(int32_t length) {
  std::vector<uint8_t> bytes;
  put_be32(bytes, length);
  return bytes;
}

TEST(FrameParser, AFrameIsCompleteWithItsLastByte) {
  const auto frame = request_frame(1, "body");
  for (size_t size = 0; size < frame.size(); ++size) {
    EXPECT_EQ(scan_frame(ByteView(frame).first(size), kMaxRequestBytes).status,
              FrameScan::Status::kIncomplete);
  }
  const FrameScan scan = scan_frame(frame, kMaxRequestBytes);
  EXPECT_EQ(scan.status, FrameScan::Status::kComplete);
  EXPECT_EQ(scan.frame_bytes, frame.size());
}

TEST(FrameParser, TheLengthIsCheckedBeforeAnythingElseArrives) {
  for (const int32_t length : {-1, INT32_MIN, 0, 9, 1001, INT32_MAX}) {
    EXPECT_EQ(scan_frame(prefix_of(length), kMaxRequestBytes).status, FrameScan::Status::kInvalid)
        << length;
  }
  for (const int32_t length : {10, 1000}) {
    EXPECT_EQ(scan_frame(prefix_of(length), kMaxRequestBytes).status,
              FrameScan::Status::kIncomplete);
  }
}

TEST(FrameParser, OtherProtocolsAreNamedHoweverLargeRequestsMayBe) {
  const std::string tls("\x16\x03\x01\x02", 4);
  const FrameScan hello = scan_frame(as_bytes(tls), INT32_MAX);
  EXPECT_EQ(hello.status, FrameScan::Status::kInvalid);
  EXPECT_STREQ(hello.reason, "a TLS handshake on a plaintext port");
  for (const char* method : {"GET ", "POST", "PUT ", "HEAD", "OPTI", "DELE", "PRI "}) {
    const FrameScan scan = scan_frame(as_bytes(method), INT32_MAX);
    EXPECT_EQ(scan.status, FrameScan::Status::kInvalid);
    EXPECT_STREQ(scan.reason, "HTTP on the Kafka port");
  }
}

TEST(FrameParser, TheHeaderIsReadAndTheRestIsTheBody) {
  std::vector<uint8_t> frame = {0, 0, 0, 16, 0,   18,  0,   3,   0,   0,
                                0, 7, 0, 3,  'k', 'c', 'a', 'X', 'Y', 'Z'};
  Request request;
  ASSERT_TRUE(parse_request_header(frame, request));
  EXPECT_EQ(request.api_key, 18);
  EXPECT_EQ(request.api_version, 3);
  EXPECT_EQ(request.correlation_id, 7);
  EXPECT_EQ(request.client_id, "kca");
  EXPECT_EQ(as_text(request.body), "XYZ");
}

TEST(FrameParser, ANullClientIdIsNotAnEmptyOne) {
  auto null_id = request_frame(1);
  Request request;
  ASSERT_TRUE(parse_request_header(null_id, request));
  EXPECT_FALSE(request.client_id.has_value());
  store_be<int16_t>(null_id.data() + 12, 0);
  ASSERT_TRUE(parse_request_header(null_id, request));
  EXPECT_EQ(request.client_id, "");
}

TEST(FrameParser, AClientIdBeyondTheFrameIsRefused) {
  auto frame = request_frame(1, "abc");
  Request request;
  for (const int16_t length : {int16_t{4}, int16_t{INT16_MAX}, int16_t{-2}, int16_t{INT16_MIN}}) {
    store_be<int16_t>(frame.data() + 12, length);
    EXPECT_FALSE(parse_request_header(frame, request)) << length;
  }
  store_be<int16_t>(frame.data() + 12, 3);
  EXPECT_TRUE(parse_request_header(frame, request));
  EXPECT_TRUE(request.body.empty());
}

}  // namespace
}  // namespace barnabas::net
