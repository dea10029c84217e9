#include "storage/cleaned_transactions.h"

#include <algorithm>

#include "record/end_marker.h"

namespace barnabas::storage {

CleanedTransactions::CleanedTransactions(const std::vector<AbortedTransaction>& aborted)
    : aborted_(aborted) {
  std::sort(aborted_.begin(), aborted_.end(),
            [](const auto& a, const auto& b) { return a.first_offset > b.first_offset; });
}

void CleanedTransactions::begin_up_to(int64_t offset) {
  while (!aborted_.empty() && aborted_.back().first_offset <= offset) {
    ongoing_aborted_.try_emplace(aborted_.back().producer_id, Ongoing{aborted_.back(), false});
    aborted_.pop_back();
  }
}

void CleanedTransactions::skip_to(int64_t offset) {
  const auto has_ended = [offset](const AbortedTransaction& each) {
    return each.last_offset < offset;
  };
  std::erase_if(aborted_, has_ended);
  std::erase_if(ongoing_aborted_,
                [&](const auto& each) { return has_ended(each.second.transaction); });
  for (auto& [producer_id, ongoing] : ongoing_aborted_) ongoing.has_batches = false;
  ongoing_committed_.clear();
  kept_.clear();
}

bool CleanedTransactions::is_dispensable(const record::BatchView& batch) {
  begin_up_to(batch.last_offset());
  if (batch.is_control()) return is_dispensable_marker(batch);
  if (!batch.is_transactional()) return false;
  const auto aborted = ongoing_aborted_.find(batch.producer_id());
  if (aborted == ongoing_aborted_.end()) {
    ongoing_committed_.insert(batch.producer_id());
    return false;
  }
  aborted->second.has_batches = true;
  return true;
}

bool CleanedTransactions::is_dispensable_marker(const record::BatchView& batch) {
  if (batch.record_count() == 0) return true;
  const auto marker = record::parse_end_marker(batch, batch.bytes());
  if (!marker) return false;
  if (marker->commit) return ongoing_committed_.erase(batch.producer_id()) == 0;
  const auto aborted = ongoing_aborted_.extract(batch.producer_id());
  if (aborted.empty() || !aborted.mapped().has_batches) return true;
  kept_.push_back(aborted.mapped().transaction);
  return false;
}

}  // namespace barnabas::storage
