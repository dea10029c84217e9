#include "storage/cleaned_transactions.h"

#include <algorithm>

#include "record/record.h"
#include "storage/checkpoint_file.h"

namespace barnabas::storage {
namespace {

constexpr size_t kEntryBytes = 34;
constexpr int16_t kAbort = 0;
constexpr int16_t kCommit = 1;

/// The type of a control batch's record: its key is version int16, type int16 (KIP-98).
std::optional<int16_t> control_type(const record::BatchView& batch) {
  record::RecordReader reader(batch.records(), batch.record_count());
  const auto record = reader.next();
  if (!record.ok() || !*record || !(*record)->key || (*record)->key->size() < 4) {
    return std::nullopt;
  }
  return load_be<int16_t>((*record)->key->data() + 2);
}

}  // namespace

Result<std::vector<AbortedTransaction>> read_transaction_index(const std::string& path) {
  std::vector<AbortedTransaction> entries;
  auto bytes = read_small_file(path);
  if (!bytes.ok()) {
    if (bytes.error().sys_errno == ENOENT) return entries;
    return std::move(bytes).error();
  }
  for (size_t at = 0; at + kEntryBytes <= bytes->size(); at += kEntryBytes) {
    const uint8_t* entry = bytes->data() + at;
    entries.push_back({load_be<int64_t>(entry + 2), load_be<int64_t>(entry + 10),
                       load_be<int64_t>(entry + 18), load_be<int64_t>(entry + 26)});
  }
  return entries;
}

std::vector<uint8_t> encode_transaction_index(const std::vector<AbortedTransaction>& entries) {
  std::vector<uint8_t> bytes(entries.size() * kEntryBytes);
  uint8_t* entry = bytes.data();
  for (const AbortedTransaction& aborted : entries) {
    store_be<int16_t>(entry, 0);
    store_be<int64_t>(entry + 2, aborted.producer_id);
    store_be<int64_t>(entry + 10, aborted.first_offset);
    store_be<int64_t>(entry + 18, aborted.last_offset);
    store_be<int64_t>(entry + 26, aborted.last_stable_offset);
    entry += kEntryBytes;
  }
  return bytes;
}

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
  const auto type = control_type(batch);
  if (type == kCommit) return ongoing_committed_.erase(batch.producer_id()) == 0;
  if (type != kAbort) return false;
  const auto aborted = ongoing_aborted_.extract(batch.producer_id());
  if (aborted.empty() || !aborted.mapped().has_batches) return true;
  kept_.push_back(aborted.mapped().transaction);
  return false;
}

}  // namespace barnabas::storage
