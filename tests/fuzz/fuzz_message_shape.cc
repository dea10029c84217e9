// Fuzzes the check of control requests' shapes, for every API and version that there is: no message
// makes it read out of bounds or take long, and a message that fits still fits with more bytes
// behind it.
//
// Input: two bytes that choose the shape, big-endian, then the message. The shapes are those that
// the broker compiles (src/barnabas/protocol/shape.py); BARNABAS_FUZZ_SHAPES names a file of them,
// which tests/fuzz/__main__.py writes: each behind its length, in two bytes.
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <vector>

#include "base/bytes.h"
#include "net/message_shape.h"

using namespace barnabas;
using namespace barnabas::net;

namespace {

constexpr size_t kPrefixBytes = sizeof(uint16_t);

void require(bool condition) {
  if (!condition) std::abort();
}

std::vector<std::vector<uint8_t>> load_shapes() {
  const char* const path = std::getenv("BARNABAS_FUZZ_SHAPES");
  if (path == nullptr) {
    std::cerr << "BARNABAS_FUZZ_SHAPES is not set: run `python tests/fuzz`\n";
    std::exit(1);
  }
  std::ifstream file(path, std::ios::binary);
  const std::vector<uint8_t> bytes{std::istreambuf_iterator<char>(file), {}};
  std::vector<std::vector<uint8_t>> shapes;
  size_t at = 0;
  while (at < bytes.size()) {
    require(at + kPrefixBytes <= bytes.size());
    const size_t begin = at + kPrefixBytes;
    at = begin + load_be<uint16_t>(bytes.data() + at);
    require(at <= bytes.size());
    shapes.emplace_back(bytes.begin() + static_cast<ptrdiff_t>(begin),
                        bytes.begin() + static_cast<ptrdiff_t>(at));
  }
  require(!shapes.empty());
  return shapes;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::vector<std::vector<uint8_t>> shapes = load_shapes();
  if (size < kPrefixBytes) return 0;
  const auto& shape = shapes[load_be<uint16_t>(data) % shapes.size()];
  std::vector<uint8_t> message(data + kPrefixBytes, data + size);
  if (shape_mismatch(shape, message) != nullptr) return 0;
  message.push_back(0xff);
  require(shape_mismatch(shape, message) == nullptr);
  return 0;
}
