// TCP connections to brokers.
#pragma once

#include <cstdint>
#include <string>

#include "base/fd.h"
#include "base/result.h"

namespace barnabas::loadgen {

/// A connected, non-blocking socket without Nagle's delay. Waits at most `timeout_ms`.
Result<UniqueFd> connect_to(const std::string& host, uint16_t port, int timeout_ms);

}  // namespace barnabas::loadgen
