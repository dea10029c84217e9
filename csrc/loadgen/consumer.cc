#include "loadgen/consumer.h"

#include <algorithm>

#include "loadgen/batch_source.h"
#include "record/codec.h"
#include "record/record.h"

namespace barnabas::loadgen {
namespace {

constexpr int64_t kRetryNs = 100 * kNsPerMs;  // after an error, so that it is not asked for at once
constexpr int64_t kDrainPollNs = 10 * kNsPerMs;  // between two looks whether all has arrived
constexpr size_t kLargeBodyBytes = 16 << 10;     // those behind it are taken to be as large
constexpr size_t kHeadBytes = 512;               // what is between two of them is shorter
constexpr size_t kMaxBatchBytes = 256 << 20;     // of a stamped batch, decompressed

}  // namespace

Consumer::Consumer(UniqueFd fd, Run& run, const ConnectionPlan& connection)
    : Session(std::move(fd), run),
      plan_(*run.plan),
      reader_({.verify = run.plan->verify, .collect = run.plan->stamped}, *this) {
  for (const int32_t index : connection.partitions) {
    positions_.push_back({index, plan_.partitions[static_cast<size_t>(index)].start_offset});
  }
  settle_ends();
  rebuild_frame();
  is_done_ = positions_.empty();
}

Status Consumer::pump(int64_t now_ns, Tally& /*tally*/) {
  if (is_done_) return {};
  if (is_over(now_ns)) {
    is_done_ = true;
    wake_ns_ = kNever;
    return {};
  }
  wake_ns_ = now_ns < stop_ns() ? stop_ns() : now_ns + kDrainPollNs;
  const int64_t from_ns = std::max(run_.start_ns, retry_ns_);
  if (now_ns < from_ns) {
    wake_ns_ = std::min(wake_ns_, from_ns);
  } else if (sent_ns_ == kNever) {
    for (size_t i = 0; i < positions_.size(); ++i) {
      frame_->set_offset(i, positions_[i].next_offset);
    }
    frame_->append_to(outbox_, ++correlation_id_);
    sent_ns_ = now_ns;
  }
  return {};
}

bool Consumer::is_over(int64_t now_ns) const {
  if (plan_.records > 0 && !plan_.stamped &&
      run_.fetched_records.load(std::memory_order_relaxed) >= plan_.records) {
    return true;
  }
  if (now_ns < stop_ns()) return positions_.empty();
  if (!plan_.stamped || now_ns >= stop_ns() + 2 * kDrainNs) return true;
  return run_.producers_left.load(std::memory_order_relaxed) == 0 &&
         run_.stamped_fetched.load(std::memory_order_relaxed) >=
             run_.stamped_produced.load(std::memory_order_relaxed);
}

Result<size_t> Consumer::on_bytes(ByteView bytes, int64_t now_ns, Tally& tally) {
  now_ns_ = now_ns;
  tally_ = &tally;
  return reader_.feed(bytes);
}

Status Consumer::on_dropped(size_t count, int64_t now_ns, Tally& tally) {
  now_ns_ = now_ns;
  tally_ = &tally;
  return reader_.drop(count);
}

size_t Consumer::receive_bytes() const {
  const bool is_read = plan_.verify || plan_.stamped;
  return is_read || reader_.body_bytes() < kLargeBodyBytes ? Session::receive_bytes() : kHeadBytes;
}

void Consumer::on_error(int16_t error) {
  ++tally_->errors[error];
  has_errors_ = true;
}

Status Consumer::on_partition(std::string_view topic, int32_t partition, int16_t error) {
  // Brokers keep the order of the request: the next one it is, nearly always.
  for (size_t tried = 0; tried < positions_.size(); ++tried) {
    const size_t candidate = (current_ + 1 + tried) % positions_.size();
    const PartitionPlan& plan = plan_of(positions_[candidate]);
    if (plan.partition != partition || plan.topic != topic) continue;
    current_ = candidate;
    if (error != 0) on_error(error);
    return {};
  }
  return peer_error("the broker answered for a partition that it was not asked for");
}

Status Consumer::on_batch(const record::BatchView& batch, bool is_corrupt) {
  Position& position = positions_[current_];
  if (is_corrupt) ++tally_->corrupt_batches;
  answer_.bytes += static_cast<int64_t>(batch.size_bytes());
  // The first batch of an answer may begin before the offset asked for.
  const int64_t before =
      std::clamp<int64_t>(position.next_offset - batch.base_offset(), 0, batch.record_count());
  position.next_offset = std::max(position.next_offset, batch.next_offset());
  if (plan_.stamped) return read_stamps(batch);
  answer_.records += batch.record_count() - before;
  return {};
}

Status Consumer::read_stamps(const record::BatchView& batch) {
  if (batch.is_control()) return {};
  BARNABAS_ASSIGN(const auto records,
                  record::decompress(static_cast<record::Codec>(batch.codec_id()), batch.records(),
                                     kMaxBatchBytes));
  record::RecordReader reader(records, batch.record_count());
  int64_t stamped = 0;
  int64_t measured = 0;
  while (true) {
    BARNABAS_ASSIGN(const auto record, reader.next());
    if (!record) break;
    if (!record->value || record->value->size() < kStampBytes) continue;
    const uint8_t* const stamp = record->value->data();
    if (load_be<uint64_t>(stamp) != run_.id) continue;  // somebody else's
    ++stamped;
    const auto due_ns = load_be<int64_t>(stamp + 8);
    if (due_ns < run_.measure_ns) continue;
    ++measured;
    tally_->latencies.record(now_ns_ - due_ns);
  }
  answer_.records += stamped;
  if (measured > 0) {
    const auto size_bytes = static_cast<int64_t>(batch.size_bytes());
    measured_.add({0, measured, size_bytes * measured / batch.record_count()});
  }
  return {};
}

Status Consumer::on_end(int32_t correlation_id) {
  if (sent_ns_ == kNever || correlation_id != correlation_id_) {
    return peer_error("the broker answered a request that it was not asked");
  }
  answer_.requests = 1;
  tally_->fetched.all.add(answer_);
  // Only now: whoever sees that all has arrived may end while an answer is still on its way in.
  if (plan_.stamped) {
    run_.stamped_fetched.fetch_add(answer_.records, std::memory_order_relaxed);
  }
  if (has_errors_) ++tally_->failed_requests;
  // Of a stamped load records were measured one by one, of others whole answers are.
  if (!plan_.stamped && !has_errors_ && sent_ns_ >= run_.measure_ns) {
    measured_ = answer_;
    tally_->latencies.record(now_ns_ - sent_ns_);
  }
  if (measured_.records > 0 || measured_.requests > 0) {
    measured_.requests = 1;
    tally_->fetched.measured.add(measured_);
    tally_->last_measured_ns = std::max(tally_->last_measured_ns, now_ns_);
    run_.fetched_records.fetch_add(measured_.records, std::memory_order_relaxed);
  }
  if (has_errors_) retry_ns_ = now_ns_ + kRetryNs;
  answer_ = measured_ = {};
  has_errors_ = false;
  sent_ns_ = kNever;
  current_ = positions_.size() - 1;
  settle_ends();
  return {};
}

void Consumer::settle_ends() {
  const size_t before = positions_.size();
  std::erase_if(positions_, [&](Position& position) {
    const PartitionPlan& plan = plan_of(position);
    if (plan.end_offset < 0 || position.next_offset < plan.end_offset) return false;
    if (!plan_.repeat || plan.start_offset >= plan.end_offset) return true;
    position.next_offset = plan.start_offset;
    return false;
  });
  if (positions_.size() != before) rebuild_frame();
}

void Consumer::rebuild_frame() {
  std::vector<int32_t> indexes;
  indexes.reserve(positions_.size());
  for (const Position& position : positions_) indexes.push_back(position.index);
  frame_.emplace(plan_, indexes);
  current_ = positions_.empty() ? 0 : positions_.size() - 1;
}

}  // namespace barnabas::loadgen
