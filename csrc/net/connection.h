// One client connection: its socket, the bytes read so far, and the answers on their way out.
//
// Owned by its reactor. Thread-safety: belongs to the reactor's thread.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "base/fd.h"
#include "net/input_buffer.h"
#include "net/output_queue.h"

namespace barnabas::net {

struct Peer {
  std::string host;  // numeric
  uint16_t port = 0;
};

struct Connection {
  Connection(UniqueFd socket, Peer address, uint32_t slot_index, uint32_t slot_generation,
             BufferPool& pool)
      : fd(std::move(socket)),
        peer(std::move(address)),
        slot(slot_index),
        generation(slot_generation),
        input(pool) {}

  const UniqueFd fd;
  const Peer peer;
  const uint32_t slot;        // in the reactor
  const uint32_t generation;  // of the slot

  InputBuffer input;
  OutputQueue output;
  uint32_t interest = 0;        // epoll events asked for
  bool busy = false;            // the handler had no room for the request at the front of `input`
  bool starved = false;         // there is no memory for the rest of its request
  bool overdrawn = false;       // its request may take memory beyond the limit
  size_t counted_bytes = 0;     // of `input`, in RequestMemory
  bool alone = false;           // a request is under way that no other may overtake
  uint32_t alone_sequence = 0;  // which one
  bool more_arrived = false;    // meanwhile the client sent something else
  bool blocked = false;         // the socket took no more; waiting for EPOLLOUT
  bool draining = false;        // the server stops: no more requests are read
  bool pinned = false;          // the thread that serves it is stuck: not to be read from, or freed
  bool dirty = false;           // in the reactor's list of connections to flush
  int64_t last_progress_ns = 0;  // bytes moved, either way
  int64_t last_receive_ns = 0;
  int64_t frame_started_ns = 0;  // when what is in `input` began to be read
};

}  // namespace barnabas::net
