// Fuzzes the parser of Produce requests: every view lies in the request, counts agree, and what was
// parsed takes no more memory than a small multiple of the request.
//
// Input: one byte for the version, then the body.
#include <cstdlib>
#include <vector>

#include "dataplane/produce_request.h"

using namespace barnabas;
using namespace barnabas::dataplane;

namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

bool lies_in(ByteView part, ByteView whole) {
  return part.empty() ||
         (part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  std::vector<uint8_t> body(data + 1, data + size);
  ProduceRequest request;
  if (!request.parse(body, static_cast<int16_t>(data[0] % (kProduceMaxVersion + 1)))) return 0;
  size_t partitions = 0;
  for (const ProduceTopic& topic : request.topics) {
    require(lies_in(as_bytes(topic.name), body));
    partitions += topic.partition_count;
  }
  require(partitions == request.partitions.size());
  require(request.topics.size() + request.partitions.size() <= body.size());
  for (const ProducePartition& partition : request.partitions) {
    if (partition.records.has_value()) require(lies_in(*partition.records, body));
  }
  if (request.transactional_id.has_value()) {
    require(lies_in(as_bytes(*request.transactional_id), body));
  }
  return 0;
}
