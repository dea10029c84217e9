// Listening TCP sockets: opening them, and accepting from one.
//
// Thread-safety: stateless; accept from one thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "net/connection.h"

namespace barnabas::net {

struct ListenOptions {
  int backlog = 50;
  int receive_buffer_bytes = -1;  // -1: the system's
};

/// Binds `host` (empty: every interface, IPv4 and IPv6) and listens: one socket for each address of
/// a name such as "localhost", all on one port. Port 0 picks a free one. The error names the
/// address: "cannot listen on 127.0.0.1:9092: Address already in use".
Result<std::vector<UniqueFd>> open_listeners(const std::string& host, uint16_t port,
                                             const ListenOptions& options);

/// The port a listener is bound to.
Result<uint16_t> bound_port(const UniqueFd& listener);

/// What accept4(2) gave: a non-blocking socket, or an invalid one and errno.
struct Accepted {
  UniqueFd socket;
  Peer peer;
  int sys_errno = 0;
};
Accepted accept_connection(const UniqueFd& listener);

}  // namespace barnabas::net
