// Fuzzes the codecs: a stream expands to at most the limit, whatever it claims, and what we
// compress comes back.
//
// Input: one byte for the codec and the direction, then the bytes.
#include <cstdlib>

#include "record/codec.h"

using namespace barnabas;
using namespace barnabas::record;

namespace {

constexpr size_t kLimitBytes = 1 << 20;

void require(bool condition) {
  if (!condition) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const auto codec = static_cast<Codec>(data[0] % 5);
  const ByteView input(data + 1, size - 1);
  if ((data[0] & 0x80) == 0) {
    const auto expanded = decompress(codec, input, kLimitBytes);
    require(!expanded.ok() || expanded->size() <= kLimitBytes);
    return 0;
  }
  const auto packed = compress(codec, input);
  require(packed.ok());
  const auto back = decompress(codec, *packed, kLimitBytes);
  require(back.ok() && std::equal(back->begin(), back->end(), input.begin(), input.end()));
  return 0;
}
