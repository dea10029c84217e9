// Records on their way out.
#pragma once

#include <string>

#include "base/bytes.h"
#include "embedded/outgoing.h"

namespace barnabas::embedded {

/// Borrows the value.
inline OutgoingRecord record_of(const std::string& value) {
  OutgoingRecord record;
  record.timestamp_ms = 1'700'000'000'000;
  record.value = as_bytes(value);
  return record;
}

}  // namespace barnabas::embedded
