// What goes back to a client: bytes, and ranges of files that are sent with sendfile.
//
// Move-only by use; owned by the connection's output queue from respond() on.
#pragma once

#include <cstdint>
#include <variant>
#include <vector>

#include "base/fd.h"

namespace barnabas::net {

using Bytes = std::vector<uint8_t>;

struct Response {
  enum class Kind : uint8_t {
    kSend,   // a frame: its length prefix is put in front by the connection
    kNone,   // nothing is sent (acks=0); keeps the order of what follows
    kClose,  // what was queued before is sent, then the connection closes
  };
  Kind kind = Kind::kSend;
  /// The frame without its 4-byte length: correlation id first. Chunks in order; bytes and file
  /// ranges may alternate.
  std::vector<std::variant<Bytes, FileSlice>> chunks;

  static Response of(Bytes bytes);
  static Response none() { return Response{Kind::kNone, {}}; }
  static Response close() { return Response{Kind::kClose, {}}; }
};

}  // namespace barnabas::net
