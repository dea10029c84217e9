// Reads the answer to a Produce request of one partition.
#pragma once

#include <cstdint>

#include "base/bytes.h"
#include "base/result.h"

namespace barnabas::loadgen {

struct ProduceAnswer {
  int32_t correlation_id = 0;
  int16_t error = 0;  // Kafka's error code
};

/// `frame`: without its size. kNetworkException when it is no such answer.
Result<ProduceAnswer> read_produce_answer(ByteView frame);

}  // namespace barnabas::loadgen
