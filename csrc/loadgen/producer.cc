#include "loadgen/producer.h"

#include <algorithm>
#include <cassert>

#include "loadgen/produce_answer.h"

namespace barnabas::loadgen {

Producer::Producer(UniqueFd fd, Run& run, const ConnectionPlan& connection,
                   const ProducerShare& share, const BatchTemplates& templates)
    : Session(std::move(fd), run),
      plan_(*run.plan),
      share_(share),
      full_count_(templates.full_count()),
      batches_(templates),
      turn_(share.seed),
      random_(share.seed),
      quota_left_(share.quota) {
  if (share.rate > 0) schedule_.emplace(run.start_ns, share.rate, share.phase);
  double sum = 0;
  for (const int32_t index : connection.partitions) {
    const PartitionPlan& partition = plan_.partitions[static_cast<size_t>(index)];
    const double weight = templates.weight(partition.partition);
    if (weight == 0) continue;  // no key goes there
    sum += weight;
    targets_.push_back({ProduceFrame(partition, plan_.acks), partition.partition, sum});
  }
  is_done_ = has_ended_ = targets_.empty() || share.quota == 0;
}

Status Producer::pump(int64_t now_ns, Tally& tally) {
  if (is_done_) return {};
  wake_ns_ = kNever;
  if (now_ns < run_.start_ns) {
    wake_ns_ = run_.start_ns;
    return {};
  }
  BARNABAS_TRY(schedule_ ? pump_open(now_ns, tally) : pump_closed(now_ns));
  finish_if_drained();
  return {};
}

Status Producer::pump_closed(int64_t now_ns) {
  const bool is_measured = now_ns >= run_.measure_ns;
  while (!has_ended_ && pending_.size() < static_cast<size_t>(plan_.in_flight)) {
    if (now_ns >= stop_ns() || quota_left_ == 0) {
      has_ended_ = true;
      break;
    }
    const auto count = static_cast<int32_t>(std::min<int64_t>(full_count_, quota_left_));
    BARNABAS_TRY(send(0, count, now_ns));
    if (is_measured && quota_left_ != kNever) quota_left_ -= count;
  }
  return {};
}

Status Producer::pump_open(int64_t now_ns, Tally& tally) {
  const int64_t end = end_index();
  const int64_t due = std::min(schedule_->due_count(now_ns), end);
  while (!has_ended_ && pending_.size() < static_cast<size_t>(plan_.in_flight)) {
    const bool gives_up = stop_ns() != kNever && now_ns >= stop_ns() + kDrainNs;
    if (next_ >= end || gives_up) {
      tally.unsent_records += std::max<int64_t>(end - next_, 0);
      has_ended_ = true;
      break;
    }
    const int64_t ready = due - next_;
    const int64_t full_ns = schedule_->due_ns(next_ + full_count_ - 1);
    const int64_t send_ns = std::min(schedule_->due_ns(next_) + plan_.linger_ns, full_ns);
    if (ready <= 0 || (now_ns < send_ns && due < end)) {
      wake_ns_ = std::min(send_ns, stop_ns());
      break;
    }
    const auto count = static_cast<int32_t>(std::min<int64_t>(ready, full_count_));
    BARNABAS_TRY(send(next_, count, now_ns));
    next_ += count;
  }
  return {};
}

int64_t Producer::end_index() const {
  int64_t end = kNever;
  if (const int64_t stop = stop_ns(); stop != kNever) end = schedule_->due_count(stop - 1);
  if (share_.quota != kNever) {
    end = std::min(end, schedule_->due_count(run_.measure_ns - 1) + share_.quota);
  }
  return end;
}

Producer::Target& Producer::choose() {
  if (plan_.key_distribution == KeyDistribution::kNone) return targets_[turn_++ % targets_.size()];
  const double at = random_.next_double() * targets_.back().sum;
  const auto found = std::upper_bound(targets_.begin(), targets_.end() - 1, at,
                                      [](double value, const Target& t) { return value < t.sum; });
  return *found;
}

Status Producer::send(int64_t first, int32_t count, int64_t now_ns) {
  const Target& target = choose();
  ByteView batch;
  if (plan_.stamped) {
    due_ns_.clear();
    for (int32_t i = 0; i < count; ++i) {
      due_ns_.push_back(schedule_ ? schedule_->due_ns(first + i) : now_ns);
    }
    BARNABAS_ASSIGN(batch, batches_.take_stamped(target.partition, run_.id, due_ns_));
  } else {
    BARNABAS_ASSIGN(batch, batches_.take(target.partition, count));
  }
  const bool is_lasting = !plan_.stamped && count == full_count_;
  target.frame.append_to(outbox_, ++correlation_id_, batch, is_lasting);
  pending_.push_back({correlation_id_, count, first, now_ns, static_cast<int64_t>(batch.size()),
                      outbox_.appended_total()});
  return {};
}

Result<size_t> Producer::on_bytes(ByteView bytes, int64_t now_ns, Tally& tally) {
  size_t used = 0;
  while (bytes.size() - used >= sizeof(int32_t)) {
    const size_t size = load_be<uint32_t>(bytes.data() + used);
    if (bytes.size() - used - sizeof(int32_t) < size) break;
    BARNABAS_ASSIGN(const ProduceAnswer answer,
                    read_produce_answer(bytes.subspan(used + sizeof(int32_t), size)));
    if (pending_.empty() || pending_.front().correlation_id != answer.correlation_id) {
      return peer_error("the broker answered a request that it was not asked");
    }
    complete(pending_.front(), answer.error, now_ns, tally);
    pending_.pop_front();
    used += sizeof(int32_t) + size;
  }
  return used;
}

void Producer::on_sent(int64_t now_ns, Tally& tally) {
  if (plan_.acks != 0) return;
  bool has_room = false;
  while (!pending_.empty() && pending_.front().end_position <= outbox_.sent_total()) {
    complete(pending_.front(), 0, now_ns, tally);  // nobody answers: what the kernel took is sent
    pending_.pop_front();
    has_room = true;
  }
  if (has_room && !has_ended_) wake_ns_ = std::min(wake_ns_, now_ns);
  finish_if_drained();
}

void Producer::complete(const Pending& request, int16_t error, int64_t now_ns, Tally& tally) {
  if (error != 0) {
    ++tally.errors[error];
    ++tally.failed_requests;
    return;
  }
  const Counters counted{1, request.count, request.bytes};
  tally.produced.all.add(counted);
  if (plan_.stamped) run_.stamped_produced.fetch_add(request.count, std::memory_order_relaxed);
  count_latencies(request, now_ns, tally);
}

void Producer::count_latencies(const Pending& request, int64_t now_ns, Tally& tally) {
  int64_t measured = 0;  // records
  if (!schedule_) {
    measured = request.sent_ns >= run_.measure_ns ? request.count : 0;
    if (measured > 0 && !plan_.stamped) {
      tally.latencies.record(now_ns - request.sent_ns, measured);
    }
  } else {
    for (int64_t i = request.count - 1; i >= 0; --i) {
      const int64_t due_ns = schedule_->due_ns(request.first + i);
      if (due_ns < run_.measure_ns) break;
      ++measured;
      // Of stamped records the consumer tells the latency.
      if (!plan_.stamped) tally.latencies.record(now_ns - due_ns);
    }
  }
  if (measured == 0) return;
  tally.produced.measured.add({1, measured, request.bytes * measured / request.count});
  tally.last_measured_ns = std::max(tally.last_measured_ns, now_ns);
}

void Producer::finish_if_drained() {
  if (is_done_ || !has_ended_ || !pending_.empty()) return;
  is_done_ = true;
  wake_ns_ = kNever;
  run_.producers_left.fetch_sub(1, std::memory_order_relaxed);
}

}  // namespace barnabas::loadgen
