#include "storage/transaction_index.h"

#include <algorithm>

#include "base/fd.h"
#include "storage/checkpoint_file.h"

namespace barnabas::storage {
namespace {

constexpr int16_t kEntryVersion = 0;

int64_t last_offset_of(const uint8_t* entry) { return load_be<int64_t>(entry + 18); }

AbortedTransaction parse_entry(const uint8_t* entry) {
  return {load_be<int64_t>(entry + 2), load_be<int64_t>(entry + 10), last_offset_of(entry),
          load_be<int64_t>(entry + 26)};
}

}  // namespace

void TransactionIndex::append(const AbortedTransaction& aborted) {
  uint8_t* p = entries.push();
  store_be<int16_t>(p, kEntryVersion);
  store_be<int64_t>(p + 2, aborted.producer_id);
  store_be<int64_t>(p + 10, aborted.first_offset);
  store_be<int64_t>(p + 18, aborted.last_offset);
  store_be<int64_t>(p + 26, aborted.last_stable_offset);
  last_abort_offset = aborted.last_offset;
  checksum = extended(checksum, ByteView(p, kAbortedEntryBytes));
  vouched = false;
}

std::optional<AbortedTransaction> TransactionIndex::decode(const uint8_t* entry) {
  const AbortedTransaction aborted = parse_entry(entry);
  if (load_be<int16_t>(entry) != kEntryVersion || aborted.producer_id < 0 ||
      aborted.first_offset < 0 || aborted.first_offset > aborted.last_offset) {
    return std::nullopt;
  }
  return aborted;
}

std::vector<AbortedTransaction> TransactionIndex::tail_from(int64_t offset) const {
  std::vector<AbortedTransaction> found;
  const uint32_t before = entries.count_in_tail_where(
      [&](const uint8_t* entry) { return last_offset_of(entry) < offset; });
  for (uint32_t n = before; n < entries.tail_count(); ++n) {
    found.push_back(parse_entry(entries.tail_entry(n)));
  }
  return found;
}

uint32_t TransactionIndex::file_entries_for(int64_t offset) const {
  const uint32_t in_file_alone = entries.count() - entries.tail_count();
  if (entries.tail_count() > 0 && last_offset_of(entries.tail_entry(0)) < offset) return 0;
  return in_file_alone;
}

Result<std::optional<StoredTransactions>> read_transaction_index(const std::string& path,
                                                                 int64_t base_offset,
                                                                 int64_t next_offset) {
  // Before what it speaks of: beside a writer that may grow, and what is said stays true.
  const auto sums = read_checksums(path);
  std::vector<uint8_t> bytes;
  if (auto read = read_small_file(path); read.ok()) {
    bytes = std::move(read).value();
  } else if (read.error().sys_errno != ENOENT) {
    return std::move(read).error();
  }
  if (bytes.size() % kAbortedEntryBytes != 0) return std::optional<StoredTransactions>();
  std::optional<StoredTransactions> stored(std::in_place);
  stored->checksum = checksum_of(bytes);
  int64_t last_end = base_offset - 1;
  for (size_t at = 0; at < bytes.size(); at += kAbortedEntryBytes) {
    const auto aborted = TransactionIndex::decode(bytes.data() + at);
    if (!aborted || aborted->last_offset <= last_end || aborted->last_offset >= next_offset) {
      return std::optional<StoredTransactions>();
    }
    last_end = aborted->last_offset;
    stored->entries.push_back(*aborted);
  }
  if (!sums.ok()) {
    stored->contradicted = true;
  } else if (*sums) {
    const Checksum& said = (*sums)->back();
    const auto first = ByteView(bytes).first(std::min<uint64_t>(said.bytes, bytes.size()));
    stored->contradicted = checksum_of(first) != said;
    stored->vouched = stored->checksum == said;
  }
  return stored;
}

WrittenTransactions::WrittenTransactions(const TransactionIndex& index)
    : count(index.entries.persisted()),
      pending(index.entries.pending().begin(), index.entries.pending().end()),
      checksum(index.checksum) {}

Result<std::vector<AbortedTransaction>> find_aborted(int fd, const std::string& path,
                                                     const WrittenTransactions& written,
                                                     uint32_t count, int64_t offset,
                                                     int64_t upper_bound) {
  std::vector<uint8_t> bytes(size_t{written.count} * kAbortedEntryBytes);
  BARNABAS_ASSIGN(const size_t got, read_at(fd, bytes, 0, path));
  bytes.resize(got);
  if (extended(checksum_of(bytes), written.pending) != written.checksum) {
    return Error{ErrorCode::kKafkaStorageError, path + ": damaged, it is not what was written", 0};
  }
  std::vector<AbortedTransaction> found;
  for (uint32_t n = 0; n < count; ++n) {
    const AbortedTransaction aborted = parse_entry(bytes.data() + size_t{n} * kAbortedEntryBytes);
    if (aborted.last_offset < offset) continue;
    found.push_back(aborted);
    if (aborted.last_stable_offset >= upper_bound) break;
  }
  return found;
}

}  // namespace barnabas::storage
