// Transactions that are about to begin in a partition: their first batch waits until the
// transaction coordinator has said that it knows the partition (KIP-890).
//
// The guard ties the coordinator's answer to the append: a marker that is written in between takes
// the guard away, and the append is refused instead of leaving a transaction that nobody ends.
//
// Pure state; its owner (Log) locks it.
#pragma once

#include <cstdint>
#include <unordered_map>

namespace barnabas::storage {

/// Unlike any other of its log; kNoGuard matches none.
using VerificationGuard = uint64_t;
inline constexpr VerificationGuard kNoGuard = 0;

struct Verification {
  VerificationGuard guard = kNoGuard;
  int16_t epoch = 0;
  /// Of the batches that asked: a higher one must not overtake a lower one that is to be retried.
  int32_t lowest_sequence = 0;
  bool transactions_v2 = false;
  int64_t since_ms = 0;  // wall clock
};

class Verifications {
 public:
  /// The guard of the producer's next transaction, the same for all batches that want to begin it.
  VerificationGuard begin(int64_t producer_id, int16_t epoch, int32_t base_sequence,
                          bool transactions_v2, int64_t now_ms) {
    const auto [place, is_new] = by_producer_.try_emplace(producer_id);
    Verification& verification = place->second;
    if (is_new) verification = {++last_guard_, epoch, base_sequence, transactions_v2, now_ms};
    if (epoch > verification.epoch ||
        (epoch == verification.epoch && base_sequence < verification.lowest_sequence)) {
      verification.epoch = epoch;
      verification.lowest_sequence = base_sequence;
    }
    return verification.guard;
  }

  /// Null when the producer has none.
  [[nodiscard]] const Verification* find(int64_t producer_id) const {
    if (by_producer_.empty()) return nullptr;
    const auto found = by_producer_.find(producer_id);
    return found == by_producer_.end() ? nullptr : &found->second;
  }

  void erase(int64_t producer_id) { by_producer_.erase(producer_id); }

  /// Forgets those that were never followed by an append.
  void remove_expired(int64_t now_ms, int64_t expiration_ms) {
    std::erase_if(by_producer_, [now_ms, expiration_ms](const auto& verification) {
      return now_ms - verification.second.since_ms >= expiration_ms;
    });
  }

 private:
  std::unordered_map<int64_t, Verification> by_producer_;
  VerificationGuard last_guard_ = kNoGuard;
};

}  // namespace barnabas::storage
