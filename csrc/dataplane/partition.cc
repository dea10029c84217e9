#include "dataplane/partition.h"

#include <algorithm>
#include <cassert>
#include <utility>
#include <vector>

#include "base/planted.h"
#include "dataplane/flusher.h"
#include "net/blocking_scope.h"

namespace barnabas::dataplane {
namespace {

template <class T>
void raise_to(std::atomic<T>& value, T target) {
  T current = value.load();
  while (current < target && !value.compare_exchange_weak(current, target)) {
  }
}

void take(storage::CommittedSlice slice, PartitionRead& read) {
  std::vector<storage::AbortedTransaction>& aborted = slice.aborted;
  if (strikes<Bug::kAbortedOneShort>() && !aborted.empty()) aborted.pop_back();
  if (!aborted.empty()) {
    read.aborted =
        std::make_unique<const std::vector<storage::AbortedTransaction>>(std::move(aborted));
  }
  read.slice = std::move(static_cast<storage::ReadSlice&>(slice));
}

}  // namespace

Partition::Partition(std::shared_ptr<const TopicIdentity> topic, int32_t index,
                     int32_t leader_epoch, std::unique_ptr<storage::Log> log)
    : topic_(std::move(topic)),
      index_(index),
      leader_epoch_(leader_epoch),
      log_(std::move(log)),
      recent_tail_(log_ == nullptr ? 0 : log_->log_end_offset()) {
  if (log_ == nullptr) return;
  log_->begin_leader_epoch(leader_epoch);
  high_watermark_ = log_->log_end_offset();
}

std::string Partition::to_string() const { return topic_->name + "-" + std::to_string(index_); }

int64_t Partition::log_start_offset() const {
  return log_ == nullptr ? -1 : log_->log_start_offset();
}

int64_t Partition::last_stable_offset() const {
  // In this order: a transaction is known to the log before the high watermark passes its start.
  const int64_t high_watermark = this->high_watermark();
  return log_ == nullptr ? high_watermark : stable_up_to(high_watermark);
}

ErrorCode Partition::availability() const {
  if (deleted()) return ErrorCode::kUnknownTopicOrPartition;
  return offline() ? ErrorCode::kKafkaStorageError : ErrorCode::kNone;
}

Result<storage::AppendInfo> Partition::append(const storage::AppendBatch& batch, Flusher& flusher) {
  if (const ErrorCode error = availability(); error != ErrorCode::kNone) {
    return Error{error, to_string() + (deleted() ? " was deleted" : " is offline")};
  }
  if constexpr (kBugsArePlanted) {
    const bool plain = !record::BatchView(batch.bytes).has_producer_id();
    const int64_t last = log_->log_end_offset() - 1;
    const bool is_lost = topic_->name == "__consumer_offsets"
                             ? strikes<Bug::kUnwrittenCommit>()
                             : plain && strikes<Bug::kUnwrittenAck>(20);
    if (last >= 0 && is_lost) return storage::AppendInfo{last, last};
    if (plain && strikes<Bug::kDuplicatedBatch>(20)) (void)write(batch);
  }
  BARNABAS_ASSIGN(const storage::AppendInfo info, write(batch));
  if (info.duplicate) return info;
  const uint64_t appended = appended_bytes_.fetch_add(batch.bytes.size()) + batch.bytes.size();
  recent_tail_.note_append(info.last_offset + 1, appended);
  // While an earlier batch waits for its fdatasync nothing behind it may become visible either.
  // (A flush that no append asked for, after a roll, holds nothing back.)
  if (info.needs_flush || flush_wanted_.load() > high_watermark()) {
    raise_to(flush_wanted_, info.last_offset + 1);
    flusher.request(shared_from_this());
  } else {
    publish(info.last_offset + 1, appended);
  }
  return info;
}

Result<storage::AppendInfo> Partition::write(const storage::AppendBatch& batch) {
  const net::BlockingScope scope(this);
  return log_->append(batch, leader_epoch_);
}

Status Partition::flush() {
  if (const ErrorCode error = availability(); error != ErrorCode::kNone) {
    return Error{error, to_string() + " cannot be flushed"};
  }
  const uint64_t appended = appended_bytes_.load();
  auto durable_offset = log_->flush();
  if (!durable_offset.ok()) {
    // After a failed fdatasync nothing above the high watermark is certain: the log is offline.
    if (log_->offline()) wake_watches(true);
    return std::move(durable_offset).error();
  }
  publish(*durable_offset, appended);
  return {};
}

void Partition::publish(int64_t high_watermark, uint64_t visible_bytes) {
  assert(high_watermark <= log_->log_end_offset());
  raise_to(visible_bytes_, visible_bytes);
  raise_to(high_watermark_, high_watermark);
  log_->advance_high_watermark(high_watermark);
  if (watch_count_.load() != 0) wake_watches(false);
}

ErrorCode Partition::check_leader_epoch(int32_t current_leader_epoch) const {
  if (current_leader_epoch < 0 || current_leader_epoch == leader_epoch_) return ErrorCode::kNone;
  return current_leader_epoch < leader_epoch_ ? ErrorCode::kFencedLeaderEpoch
                                              : ErrorCode::kUnknownLeaderEpoch;
}

PartitionRead Partition::read(const FetchParams& params, uint64_t max_bytes, bool at_least_one,
                              IsolationLevel isolation) const {
  PartitionRead result;
  result.error = availability();
  if (result.error == ErrorCode::kNone) {
    result.error = check_leader_epoch(params.current_leader_epoch);
  }
  if (result.error != ErrorCode::kNone) return result;

  const int64_t high_watermark = this->high_watermark();
  const int64_t last_stable_offset = stable_up_to(high_watermark);
  const int64_t log_start_offset = log_->log_start_offset();
  const auto fail = [&result](ErrorCode error) {
    result.error = error;
    return std::move(result);
  };
  if (params.fetch_offset < log_start_offset) return fail(ErrorCode::kOffsetOutOfRange);
  // Before the end is looked at: a fetcher that is ahead of this log learns where it diverged.
  if (params.last_fetched_epoch >= 0) {
    const auto end = log_->end_offset_for_epoch(params.last_fetched_epoch);
    if (end.leader_epoch < 0 || end.end_offset < 0) return fail(ErrorCode::kOffsetOutOfRange);
    if (end.leader_epoch < params.last_fetched_epoch || end.end_offset < params.fetch_offset) {
      result.diverging = end;
    }
  }
  if (result.diverging.leader_epoch < 0 && params.fetch_offset > log_->log_end_offset()) {
    return fail(ErrorCode::kOffsetOutOfRange);
  }
  const int64_t end_offset =
      isolation == IsolationLevel::kReadCommitted ? last_stable_offset : high_watermark;
  if (result.diverging.leader_epoch < 0 && params.fetch_offset < end_offset &&
      (max_bytes > 0 || at_least_one)) {
    if (isolation == IsolationLevel::kReadCommitted) {
      auto slice = log_->read_committed(params.fetch_offset, max_bytes, end_offset, at_least_one);
      if (!slice.ok()) return fail(note_read_failure(slice.error()));
      take(std::move(slice).value(), result);
    } else {
      auto slice = log_->read(params.fetch_offset, max_bytes, end_offset, at_least_one);
      if (!slice.ok()) return fail(note_read_failure(slice.error()));
      result.slice = std::move(slice).value();
    }
  }
  result.high_watermark = high_watermark;
  result.last_stable_offset = last_stable_offset;
  result.log_start_offset = log_start_offset;
  return result;
}

ErrorCode Partition::note_read_failure(const Error& error) const {
  if (error.code != ErrorCode::kOffsetOutOfRange) {
    MutexLock lock(failure_mutex_);
    read_failure_ = error.message;
  }
  return error.code;
}

std::string Partition::take_read_failure() const {
  MutexLock lock(failure_mutex_);
  return std::exchange(read_failure_, {});
}

void Partition::age_recent_tail() {
  if (log_ != nullptr) recent_tail_.age(log_->log_end_offset());
}

void Partition::add_watch(Watch& watch) {
  assert(!watch.linked && watch.waiter != nullptr);
  {
    MutexLock lock(watch_mutex_);
    watch.previous = nullptr;
    watch.next = watches_;
    if (watches_ != nullptr) watches_->previous = &watch;
    watches_ = &watch;
    watch.linked = true;
    watch_count_.fetch_add(1);
  }
}

void Partition::remove_watch(Watch& watch) {
  MutexLock lock(watch_mutex_);
  if (!watch.linked) return;
  (watch.previous != nullptr ? watch.previous->next : watches_) = watch.next;
  if (watch.next != nullptr) watch.next->previous = watch.previous;
  watch.linked = false;
  watch_count_.fetch_sub(1);
}

void Partition::wake_watches(bool all) {
  std::vector<std::shared_ptr<PartitionWaiter>> ready;
  {
    MutexLock lock(watch_mutex_);
    const int64_t high_watermark = this->high_watermark();
    const uint64_t visible = visible_bytes();
    for (Watch* watch = watches_; watch != nullptr; watch = watch->next) {
      if (!all && !is_due(*watch, high_watermark, visible)) continue;
      // Null when the waiter is being destroyed and waits for this lock to unlink itself.
      if (auto waiter = watch->waiter->weak_from_this().lock()) ready.push_back(std::move(waiter));
    }
  }
  for (const auto& waiter : ready) waiter->wake();
}

bool Partition::is_due(Watch& watch, int64_t high_watermark, uint64_t visible) const {
  if (watch.for_stable) {
    const int64_t stable = last_stable_offset();
    if (stable < watch.wake_offset) return false;
    if (watch.counted_unstable || stable < high_watermark) return true;
  } else if (high_watermark < watch.wake_offset) {
    return false;
  }
  const uint64_t bytes = visible - std::min(visible, watch.counted_visible);
  watch.counted_visible = visible;
  return watch.waiter->count_visible(bytes);
}

void Partition::mark_deleted() {
  deleted_ = true;
  wake_watches(true);
}

}  // namespace barnabas::dataplane
