#include "net/message_shape.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace barnabas::net {
namespace {

using Bytes = std::vector<uint8_t>;

constexpr auto op(ShapeOp which) { return static_cast<uint8_t>(which); }

/// An array of compact strings, each followed by an optional struct of one int32.
const Bytes kCompactShape = {op(ShapeOp::kCompactArray), 0, 0, 6, op(ShapeOp::kCompact),
                             op(ShapeOp::kOptional),     0, 2, 0, 4,
                             op(ShapeOp::kTags)};
/// A nullable array of strings, and bytes.
const Bytes kPlainShape = {op(ShapeOp::kArray), 1, 0, 1, op(ShapeOp::kString), op(ShapeOp::kBytes)};

bool fits(const Bytes& shape, const Bytes& message) {
  return shape_mismatch(shape, message) == nullptr;
}

std::string reason(const Bytes& shape, const Bytes& message) {
  const char* const text = shape_mismatch(shape, message);
  return text == nullptr ? "" : text;
}

TEST(MessageShape, WholeMessagesFitAndCutOnesDoNot) {
  const Bytes compact = {3, 2, 'a', 0xff, 1, 1, 0, 0, 0, 7, 1, 9, 2, 'x', 'y'};
  const Bytes plain = {0, 0, 0, 2, 0, 1, 'a', 0xff, 0xff, 0, 0, 0, 3, 'x', 'y', 'z'};
  for (const auto& [shape, message] :
       {std::pair{kCompactShape, compact}, std::pair{kPlainShape, plain}}) {
    EXPECT_EQ(reason(shape, message), "");
    for (size_t size = 0; size < message.size(); ++size) {
      EXPECT_FALSE(fits(shape, Bytes(message.begin(), message.begin() + size))) << size;
    }
  }
}

TEST(MessageShape, ACountBeyondTheMessageIsNamed) {
  EXPECT_EQ(reason(kPlainShape, {0x7f, 0xff, 0xff, 0xff, 0, 0}),
            "an array is longer than its message");
  EXPECT_EQ(reason(kCompactShape, {0xff, 0xff, 0xff, 0xff, 0x0f, 0}),
            "an array is longer than its message");
}

TEST(MessageShape, NullIsForNullableArrays) {
  EXPECT_TRUE(fits(kPlainShape, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}));
  EXPECT_EQ(reason(kCompactShape, {0, 0}), "an array is null that must not be");
}

TEST(MessageShape, LengthsBelowNullAreRefused) {
  EXPECT_EQ(reason(kPlainShape, {0xff, 0xff, 0xff, 0xfe}), "a length is negative");
  EXPECT_EQ(reason(kPlainShape, {0, 0, 0, 1, 0x80, 0}), "a length is negative");
}

TEST(MessageShape, StringsAreLimitedAndBytesAreNot) {
  Bytes message = {0x80, 0x80, 0x02};  // a length of kMaxStringBytes, plus one
  message.resize(message.size() + kMaxStringBytes);
  const Bytes string = {op(ShapeOp::kCompactString)};
  EXPECT_EQ(reason(string, message), "");
  message.front() = 0x81;
  message.push_back(0);
  EXPECT_EQ(reason(string, message), "a string is too long");
  EXPECT_EQ(reason({op(ShapeOp::kCompact)}, message), "");
}

TEST(MessageShape, NestedArraysShareOneLimitOfElements) {
  // 1,000 arrays of 200 strings each are as many elements as are allowed; the outer ones come on
  // top.
  const Bytes shape = {op(ShapeOp::kArray), 0, 0, 5, op(ShapeOp::kArray), 0, 0, 1,
                       op(ShapeOp::kString)};
  const auto message = [](int outer, int inner) {
    Bytes bytes(4);
    store_be<int32_t>(bytes.data(), outer);
    for (int i = 0; i < outer; ++i) {
      bytes.resize(bytes.size() + 4);
      store_be<int32_t>(bytes.data() + bytes.size() - 4, inner);
      bytes.resize(bytes.size() + 2 * static_cast<size_t>(inner));
    }
    return bytes;
  };
  EXPECT_EQ(reason(shape, message(1000, 199)), "");
  EXPECT_EQ(reason(shape, message(1000, 200)), "a message has too many elements");
}

}  // namespace
}  // namespace barnabas::net
