// The last offset of each key, in bounded memory: what compaction knows of the part of a log that
// it has not cleaned yet.
//
// Keys are kept as 128-bit hashes (SipHash-2-4 under a key of its own, so that nobody can choose
// keys that collide): 24 bytes an entry, as Kafka's SkimpyOffsetMap. The table is cut into parts
// that grow apart from each other with the keys they get, so that memory follows their number and
// growing needs little more than what is there; it is mapped, and goes back to the system with the
// map.
//
// Belongs to one thread.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "base/bytes.h"

namespace barnabas::storage {

class OffsetMap {
 public:
  /// At most `max_bytes` (a small minimum apart), filled up to `load_factor`.
  OffsetMap(size_t max_bytes, double load_factor);

  /// False, and nothing changes, when there is no room for another key.
  [[nodiscard]] bool put(ByteView key, int64_t offset);
  /// -1 when the key is not there.
  [[nodiscard]] int64_t get(ByteView key) const;
  [[nodiscard]] size_t size() const { return size_; }
  [[nodiscard]] size_t memory_bytes() const { return memory_bytes_; }

 private:
  struct Hash {
    uint64_t high = 0;
    uint64_t low = 0;
    friend bool operator==(const Hash&, const Hash&) = default;
  };
  struct Entry {
    Hash hash;
    int64_t offset_plus_one;  // 0: free, as fresh pages are
  };
  struct Unmap {
    size_t bytes;  // of the mapping
    void operator()(Entry* entries) const;
  };
  struct Part {
    std::unique_ptr<Entry, Unmap> entries;
    uint32_t capacity;
    uint32_t used;
  };
  static constexpr size_t kParts = 64;

  [[nodiscard]] Hash hash_of(ByteView key) const;
  [[nodiscard]] static size_t part_of(const Hash& hash) { return hash.high >> 58; }
  /// The hash's entry, or the free one where it belongs. REQUIRES: part.capacity > part.used
  [[nodiscard]] static Entry& slot_of(const Part& part, const Hash& hash);
  [[nodiscard]] bool make_room(Part& part);

  const uint32_t max_part_capacity_;
  const double load_factor_;
  std::array<uint64_t, 2> key_;
  std::array<Part, kParts> parts_{};
  size_t size_ = 0;
  size_t memory_bytes_ = 0;
};

}  // namespace barnabas::storage
