// What a worker counts. "Measured" is what was due (open loop) or sent (closed loop) after the
// warm-up; a latency sample is a record, for fetches a request.
//
// Thread-safety: as that of the object that holds it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>

#include "loadgen/histogram.h"

namespace barnabas::loadgen {

struct Counters {
  int64_t requests = 0;  // acknowledged, or fetches answered
  int64_t records = 0;
  int64_t bytes = 0;  // of batches as they crossed the wire

  void add(const Counters& other) {
    requests += other.requests;
    records += other.records;
    bytes += other.bytes;
  }
};

/// One direction of the load.
struct Flow {
  Counters all;  // with the warm-up
  Counters measured;
};

struct Tally {
  Flow produced;
  Flow fetched;
  int64_t unsent_records = 0;    // that were due, but had no chance before the end
  int64_t last_measured_ns = 0;  // when the last measured request was answered
  int64_t failed_requests = 0;
  int64_t corrupt_batches = 0;
  std::map<int16_t, int64_t> errors;  // Kafka's error code -> partitions' answers
  Histogram latencies;                // measured, since they were last taken

  /// Adds everything but the latencies.
  void add_counters(const Tally& other) {
    produced.all.add(other.produced.all);
    produced.measured.add(other.produced.measured);
    fetched.all.add(other.fetched.all);
    fetched.measured.add(other.fetched.measured);
    unsent_records += other.unsent_records;
    last_measured_ns = std::max(last_measured_ns, other.last_measured_ns);
    failed_requests += other.failed_requests;
    corrupt_batches += other.corrupt_batches;
    for (const auto& [code, count] : other.errors) errors[code] += count;
  }
};

}  // namespace barnabas::loadgen
