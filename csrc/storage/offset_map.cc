#include "storage/offset_map.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <random>

namespace barnabas::storage {
namespace {

constexpr uint32_t kFirstPartCapacity = 170;  // a page
constexpr double kGrowingLoadFactor = 0.75;   // until there is no more to grow into

struct SipState {
  uint64_t v0;
  uint64_t v1;
  uint64_t v2;
  uint64_t v3;

  void rounds(int count) {
    for (; count > 0; --count) {
      v0 += v1;
      v1 = std::rotl(v1, 13) ^ v0;
      v0 = std::rotl(v0, 32);
      v2 += v3;
      v3 = std::rotl(v3, 16) ^ v2;
      v0 += v3;
      v3 = std::rotl(v3, 21) ^ v0;
      v2 += v1;
      v1 = std::rotl(v1, 17) ^ v2;
      v2 = std::rotl(v2, 32);
    }
  }
  void absorb(uint64_t word) {
    v3 ^= word;
    rounds(2);
    v0 ^= word;
  }
  [[nodiscard]] uint64_t digest() const { return v0 ^ v1 ^ v2 ^ v3; }
};

}  // namespace

OffsetMap::OffsetMap(size_t max_bytes, double load_factor)
    : max_part_capacity_(static_cast<uint32_t>(std::clamp<size_t>(
          max_bytes / sizeof(Entry) / kParts, kFirstPartCapacity, UINT32_MAX / 2))),
      load_factor_(std::clamp(load_factor, 0.1, 0.95)) {
  std::random_device random;
  for (uint64_t& word : key_) word = (uint64_t{random()} << 32) | random();
}

void OffsetMap::Unmap::operator()(Entry* entries) const { ::munmap(entries, bytes); }

OffsetMap::Hash OffsetMap::hash_of(ByteView key) const {
  SipState state{key_[0] ^ 0x736f6d6570736575, key_[1] ^ 0x646f72616e646f6d ^ 0xee,
                 key_[0] ^ 0x6c7967656e657261, key_[1] ^ 0x7465646279746573};
  const uint64_t length = key.size();
  for (; key.size() >= 8; key = key.subspan(8)) {
    uint64_t word = 0;
    std::memcpy(&word, key.data(), 8);
    state.absorb(word);
  }
  uint64_t last = length << 56;
  for (size_t i = 0; i < key.size(); ++i) last |= uint64_t{key[i]} << (8 * i);
  state.absorb(last);
  state.v2 ^= 0xee;
  state.rounds(4);
  const uint64_t high = state.digest();
  state.v1 ^= 0xdd;
  state.rounds(4);
  return {high, state.digest()};
}

OffsetMap::Entry& OffsetMap::slot_of(const Part& part, const Hash& hash) {
  Entry* const entries = part.entries.get();
  auto at =
      static_cast<uint32_t>((uint64_t{static_cast<uint32_t>(hash.low)} * part.capacity) >> 32);
  while (entries[at].offset_plus_one != 0 && !(entries[at].hash == hash)) {
    if (++at == part.capacity) at = 0;
  }
  return entries[at];
}

bool OffsetMap::make_room(Part& part) {
  const bool largest = part.capacity == max_part_capacity_;
  const double limit = largest ? load_factor_ : std::min(load_factor_, kGrowingLoadFactor);
  if (part.used + 1 <= limit * part.capacity) return true;
  if (largest) return false;
  Part larger{};
  larger.capacity = std::min(std::max(2 * part.capacity, kFirstPartCapacity), max_part_capacity_);
  const size_t bytes = larger.capacity * sizeof(Entry);
  void* mapped = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) return false;
  larger.entries = {static_cast<Entry*>(mapped), Unmap{bytes}};
  for (uint32_t i = 0; i < part.capacity; ++i) {
    const Entry& entry = part.entries.get()[i];
    if (entry.offset_plus_one != 0) slot_of(larger, entry.hash) = entry;
  }
  larger.used = part.used;
  memory_bytes_ += bytes - part.capacity * sizeof(Entry);
  part = std::move(larger);
  return true;
}

bool OffsetMap::put(ByteView key, int64_t offset) {
  const Hash hash = hash_of(key);
  Part& part = parts_[part_of(hash)];
  if (part.capacity > 0) {
    Entry& known = slot_of(part, hash);
    if (known.offset_plus_one != 0) {
      known.offset_plus_one = offset + 1;
      return true;
    }
  }
  if (!make_room(part)) return false;
  slot_of(part, hash) = {hash, offset + 1};
  ++part.used;
  ++size_;
  return true;
}

int64_t OffsetMap::get(ByteView key) const {
  const Hash hash = hash_of(key);
  const Part& part = parts_[part_of(hash)];
  return part.capacity == 0 ? -1 : slot_of(part, hash).offset_plus_one - 1;
}

}  // namespace barnabas::storage
