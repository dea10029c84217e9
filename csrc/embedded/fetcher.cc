#include "embedded/fetcher.h"

#include <algorithm>
#include <unordered_set>
#include <utility>
#include <vector>

namespace barnabas::embedded {
namespace {

/// Which batches belong to transactions that were aborted (KIP-98), in the order of the log.
class AbortedFilter {
 public:
  explicit AbortedFilter(std::vector<storage::AbortedTransaction> aborted)
      : aborted_(std::move(aborted)) {
    std::sort(aborted_.begin(), aborted_.end(),
              [](const auto& a, const auto& b) { return a.first_offset < b.first_offset; });
  }

  /// Whether the batch is to be passed over. Every batch is to be shown, one after the other.
  bool drops(const record::BatchView& batch) {
    while (next_ < aborted_.size() && aborted_[next_].first_offset <= batch.last_offset()) {
      open_.insert(aborted_[next_++].producer_id);
    }
    if (batch.is_control()) {
      // The end of a producer's transaction, however it ended: what follows belongs to the next.
      open_.erase(batch.producer_id());
      return true;
    }
    return batch.is_transactional() && open_.contains(batch.producer_id());
  }

 private:
  std::vector<storage::AbortedTransaction> aborted_;
  size_t next_ = 0;
  std::unordered_set<int64_t> open_;  // producers in an aborted transaction
};

Status decode(const FetchOptions& options, int64_t offset, FetchedColumns& out) {
  const ByteView bytes(out.fetched.bytes.data(), out.fetched.bytes.size());
  out.columns.buffers.push_back(bytes);
  AbortedFilter filter(std::move(out.fetched.aborted));
  const record::DecodeOptions decode_options{options.expansion_limit, offset};
  for (size_t at = 0; at < bytes.size();) {
    const auto batch = record::peek_batch(bytes.subspan(at));
    if (!batch) break;
    if (options.check_crcs) BARNABAS_TRY(dataplane::check_crc(out.fetched, at, *batch));
    at += batch->size_bytes();
    out.next_offset = batch->next_offset();
    if (filter.drops(*batch)) continue;
    BARNABAS_TRY(append_columns(out.columns, *batch, 0, decode_options));
  }
  return {};
}

}  // namespace

Result<std::shared_ptr<FetchedColumns>> fetch_columns(dataplane::Engine& engine, FetchPool& pool,
                                                      const std::string& topic, int32_t partition,
                                                      int64_t offset, const FetchOptions& options,
                                                      const Uuid& topic_id) {
  auto out = pool.take();
  out->next_offset = offset;
  while (true) {
    BARNABAS_ASSIGN(out->fetched,
                    engine.fetch(topic, partition, out->next_offset, options.max_bytes,
                                 options.read_committed, std::move(out->fetched.bytes), topic_id));
    if (out->fetched.bytes.empty()) return out;
    if (Status status = decode(options, offset, *out); !status.ok()) {
      Error error = std::move(status).error();
      error.message = topic + "-" + std::to_string(partition) + ": " + error.message;
      return error;
    }
    if (!out->columns.offsets.empty()) return out;
    out->columns.clear();  // nothing to be seen here: markers, or aborted records
  }
}

}  // namespace barnabas::embedded
