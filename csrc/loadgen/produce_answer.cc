#include "loadgen/produce_answer.h"

#include "base/varint.h"
#include "loadgen/plan.h"

namespace barnabas::loadgen {

Result<ProduceAnswer> read_produce_answer(ByteView frame) {
  // correlation id int32, tagged fields; topics: name, partitions: index int32, error int16, …
  const uint8_t* const end = frame.data() + frame.size();
  const uint8_t* p = frame.data();
  const Error bad = peer_error("the broker's answer to Produce is malformed");
  if (frame.size() < 5 || p[4] != 0) return bad;
  ProduceAnswer answer;
  answer.correlation_id = load_be<int32_t>(p);
  p += 5;
  uint32_t topics = 0;
  uint32_t name = 0;
  uint32_t partitions = 0;
  p = read_uvarint(p, end, topics);
  if (p == nullptr || topics != 2) return bad;
  p = read_uvarint(p, end, name);
  if (p == nullptr || name == 0 || name - 1 > end - p) return bad;
  p = read_uvarint(p + name - 1, end, partitions);
  if (p == nullptr || partitions != 2 || end - p < 6) return bad;
  answer.error = load_be<int16_t>(p + 4);
  return answer;
}

}  // namespace barnabas::loadgen
