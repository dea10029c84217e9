// What the broker loop takes from the data plane.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace barnabas::dataplane {

/// A request of an API other than Produce and Fetch, waiting for the broker loop.
struct ControlRequest {
  uint64_t token = 0;  // for respond() and close_connection()
  int16_t api_key = 0;
  int16_t api_version = 0;
  int32_t correlation_id = 0;
  std::optional<std::string> client_id;
  std::string peer_host;
  int16_t fault = 0;          // the error that a test wants for an answer; else 0
  std::vector<uint8_t> body;  // header tagged fields (flexible versions), then the message
};

}  // namespace barnabas::dataplane
