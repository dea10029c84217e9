// Transactions that are about to begin in a partition: their first batch waits until the
// transaction coordinator has said that it knows the partition (KIP-890).
//
// The guard ties the coordinator's answer to the append: a marker that is written in between takes
// the guard away, and the append is refused instead of leaving a transaction that nobody ends.
// Under transactions v2 the marker of the transaction before leaves it: a producer may be that
// quick. A coordinator in this process says so by itself when a partition is added: nobody has to
// ask, unless by another transactional id, which the coordinator is to refuse.
//
// Pure state; its owner (Log) locks it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <unordered_map>

namespace barnabas::storage {

/// Unlike any other of its log; kNoGuard matches none.
using VerificationGuard = uint64_t;
inline constexpr VerificationGuard kNoGuard = 0;

struct Verification {
  static constexpr int32_t kNoBatch = std::numeric_limits<int32_t>::max();

  VerificationGuard guard = kNoGuard;
  int16_t epoch = 0;
  /// Of the batches that came: a higher one must not overtake a lower one that is to be retried.
  int32_t lowest_sequence = kNoBatch;
  bool transactions_v2 = false;
  bool verified = false;         // the coordinator has said that it knows of the transaction,
  std::string transactional_id;  // which is this one's
  int64_t since_ms = 0;          // wall clock
};

/// What the first batch of a transaction is to bring with it; kNoGuard when that is open.
struct TransactionEntrance {
  VerificationGuard guard = kNoGuard;
  bool verified = false;  // the coordinator need not be asked
};

class Verifications {
 public:
  /// The guard of the producer's next transaction, the same for all batches that want to begin it.
  TransactionEntrance begin(int64_t producer_id, int16_t epoch, int32_t base_sequence,
                            bool transactions_v2, std::string_view transactional_id,
                            int64_t now_ms) {
    Verification& verification = of(producer_id, epoch, now_ms);
    if (verification.lowest_sequence == Verification::kNoBatch) {
      verification.transactions_v2 = transactions_v2;
    }
    if (epoch != verification.epoch) return {verification.guard, false};
    verification.lowest_sequence = std::min(verification.lowest_sequence, base_sequence);
    return {verification.guard,
            verification.verified && verification.transactional_id == transactional_id};
  }

  /// The coordinator has the partition in the producer's transaction, until a marker ends it.
  void mark_verified(int64_t producer_id, int16_t epoch, std::string_view transactional_id,
                     int64_t now_ms) {
    Verification& verification = of(producer_id, epoch, now_ms);
    if (epoch != verification.epoch) return;
    verification.verified = true;
    verification.transactional_id = transactional_id;
  }

  /// Null when the producer has none.
  [[nodiscard]] const Verification* find(int64_t producer_id) const {
    if (by_producer_.empty()) return nullptr;
    const auto found = by_producer_.find(producer_id);
    return found == by_producer_.end() ? nullptr : &found->second;
  }

  void erase(int64_t producer_id) { by_producer_.erase(producer_id); }

  /// A marker of that epoch ends the producer's transaction.
  void end(int64_t producer_id, int16_t epoch) {
    const auto found = by_producer_.find(producer_id);
    if (found == by_producer_.end()) return;
    const Verification& verification = found->second;
    // Under transactions v2 a marker's epoch is above that of what it ends, while epochs can grow
    // (KIP-890): the transaction that is about to begin will be ended by another one.
    const bool is_of_another = verification.transactions_v2 && verification.epoch >= epoch &&
                               epoch < std::numeric_limits<int16_t>::max();
    if (!is_of_another) by_producer_.erase(found);
  }

  /// Forgets those that were never followed by an append.
  void remove_expired(int64_t now_ms, int64_t expiration_ms) {
    std::erase_if(by_producer_, [now_ms, expiration_ms](const auto& verification) {
      return now_ms - verification.second.since_ms >= expiration_ms;
    });
  }

 private:
  /// Of the producer's latest epoch.
  Verification& of(int64_t producer_id, int16_t epoch, int64_t now_ms) {
    const auto [place, is_new] = by_producer_.try_emplace(producer_id);
    Verification& verification = place->second;
    if (is_new) {
      verification.guard = ++last_guard_;
      verification.epoch = epoch;
      verification.since_ms = now_ms;
    } else if (epoch > verification.epoch) {
      verification.epoch = epoch;
      verification.lowest_sequence = Verification::kNoBatch;
      verification.verified = false;
    }
    return verification;
  }

  std::unordered_map<int64_t, Verification> by_producer_;
  VerificationGuard last_guard_ = kNoGuard;
};

}  // namespace barnabas::storage
