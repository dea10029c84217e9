// Fuzzes the parser of Fetch requests: every view lies in the request, counts agree, and what was
// parsed takes no more memory than a small multiple of the request.
//
// Input: one byte for the version, then the body.
#include <cstdlib>
#include <vector>

#include "dataplane/fetch_request.h"

using namespace barnabas;
using namespace barnabas::dataplane;

namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

void check_topics(const std::vector<FetchTopic>& topics, size_t partitions, ByteView body) {
  size_t counted = 0;
  for (const FetchTopic& topic : topics) {
    const ByteView name = as_bytes(topic.name);
    require(name.empty() ||
            (name.data() >= body.data() && name.data() + name.size() <= body.data() + body.size()));
    counted += topic.partition_count;
  }
  require(counted == partitions);
  require(topics.size() + partitions <= body.size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  constexpr int kVersions = kFetchMaxVersion - kFetchMinVersion + 1;
  const auto version = static_cast<int16_t>(kFetchMinVersion + data[0] % kVersions);
  std::vector<uint8_t> body(data + 1, data + size);
  FetchRequest request;
  if (!request.parse(body, version)) return 0;
  check_topics(request.topics, request.partitions.size(), body);
  check_topics(request.forgotten_topics, request.forgotten_partitions.size(), body);
  return 0;
}
