// Fuzzes the check of control requests' shapes: no message makes it read out of bounds or take
// long, and a message that fits still fits with more bytes behind it.
//
// Input: one byte that chooses the shape, then the message.
#include <array>
#include <cstdlib>
#include <vector>

#include "net/message_shape.h"

using namespace barnabas;
using namespace barnabas::net;

namespace {

// Nested arrays in both encodings, with every kind of field; see net/message_shape.h.
const std::array<std::vector<uint8_t>, 3> kShapes = {{
    {0, 4, 1, 4, 0, 0, 8, 1, 4, 1, 0, 3, 0, 4, 2, 2},
    {7, 0, 4, 3, 5, 0, 0, 9, 3, 5, 1, 0, 3, 0, 4, 7, 7, 7},
    {7, 5, 0, 0, 7, 3, 6, 0, 3, 0, 4, 3, 7},
}};

void require(bool condition) {
  if (!condition) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const auto& shape = kShapes[data[0] % kShapes.size()];
  std::vector<uint8_t> message(data + 1, data + size);
  if (shape_mismatch(shape, message) != nullptr) return 0;
  message.push_back(0xff);
  require(shape_mismatch(shape, message) == nullptr);
  return 0;
}
