#include "embedded/outgoing.h"

#include "base/varint.h"

namespace barnabas::embedded {
namespace {

// Length, attributes, timestamp delta, offset delta, key length, value length, header count.
constexpr size_t kRecordOverheadLimit =
    kMaxVarint32Bytes + 1 + kMaxVarint64Bytes + kMaxVarint32Bytes + 3 * size_t{kMaxVarint32Bytes};

size_t size_of(const std::optional<ByteView>& bytes) { return bytes ? bytes->size() : 0; }

}  // namespace

size_t encoded_size_limit(const OutgoingRecord& record) {
  size_t size = kRecordOverheadLimit + size_of(record.key) + size_of(record.value);
  for (const record::HeaderView& header : record.headers) {
    size += 2 * size_t{kMaxVarint32Bytes} + header.key.size() + size_of(header.value);
  }
  return size;
}

}  // namespace barnabas::embedded
