// What a log knows of transactions.
#include "storage/log_impl.h"

namespace barnabas::storage {

VerificationGuard LogImpl::begin_verification(int64_t producer_id, int16_t epoch,
                                              int32_t base_sequence, bool transactions_v2) {
  MutexLock lock(mutex_);
  if (producers_.in_transaction(producer_id, epoch)) return kNoGuard;
  return producers_.verifications().begin(producer_id, epoch, base_sequence, transactions_v2,
                                          clock_.wall_ms());
}

void LogImpl::publish_producer(const record::BatchView& batch) {
  const auto completed = producers_.apply(batch, batch.bytes(), clock_.wall_ms());
  if (!batch.is_transactional()) return;
  if (completed) producers_.await_high_watermark(*completed);
  first_unstable_offset_.store(producers_.first_unstable_offset());
}

void LogImpl::advance_high_watermark(int64_t high_watermark) {
  if (first_unstable_offset_.load() >= high_watermark) return;
  MutexLock lock(mutex_);
  producers_.advance_high_watermark(high_watermark);
  first_unstable_offset_.store(producers_.first_unstable_offset());
}

std::vector<ProducerInfo> LogImpl::producers() const {
  MutexLock lock(mutex_);
  return producers_.describe();
}

}  // namespace barnabas::storage
