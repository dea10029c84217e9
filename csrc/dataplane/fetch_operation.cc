#include "dataplane/fetch_operation.h"

#include <algorithm>
#include <utility>

#include "base/logger.h"
#include "dataplane/page_cache.h"

namespace barnabas::dataplane {
namespace {

// How long to wait for room in the disk pool's queue.
constexpr int64_t kDiskPoolRetryNs = 5'000'000;

}  // namespace

FetchOperation::FetchOperation(FetchServices& services, FetchPlan plan)
    : DelayedOperation(services.purgatory, plan.token),
      services_(services),
      plan_(std::move(plan)) {
  for (auto& entry : plan_.entries) {
    entry.watch.waiter = this;
    any_readable_ = any_readable_ || entry.partition != nullptr;
  }
}

FetchOperation::~FetchOperation() { remove_watches(); }

void FetchOperation::read() {
  state_ = State::kReading;
  const bool cold = std::any_of(plan_.entries.begin(), plan_.entries.end(), [](const auto& entry) {
    return entry.partition != nullptr && entry.partition->may_be_cold(entry.params.fetch_offset);
  });
  if (cold) {
    go_to_disk();
    return;
  }
  read_entries();
  decide();
}

void FetchOperation::read_entries() {
  uint64_t left = plan_.max_bytes;
  bool at_least_one = true;
  must_answer_ = false;
  bytes_read_ = 0;
  for (auto& entry : plan_.entries) {
    if (entry.partition == nullptr) continue;
    Partition& partition = *entry.partition;
    const uint64_t allowed =
        std::min<uint64_t>(left, static_cast<uint64_t>(std::max(0, entry.params.max_bytes)));
    // Nothing was there and nothing has come: no need to look again.
    const bool unchanged = entry.has_read && entry.read.error == ErrorCode::kNone &&
                           entry.read.high_watermark == entry.params.fetch_offset &&
                           partition.high_watermark() == entry.params.fetch_offset &&
                           partition.availability() == ErrorCode::kNone;
    if (!unchanged) {
      entry.visible_before_read = partition.visible_bytes();
      entry.read = partition.read(entry.params, allowed, at_least_one, plan_.header.isolation);
      entry.has_read = true;
    }
    const auto& slice = entry.read.slice;
    const uint64_t length = slice.file.length;
    if (entry.read.error != ErrorCode::kNone || entry.read.diverging.leader_epoch >= 0) {
      must_answer_ = true;
    }
    if (length > 0) {
      at_least_one = false;
      // The next bytes lie in another segment, which the next request reads.
      if (!slice.in_active_segment) must_answer_ = true;
    }
    left -= std::min(left, length);
    bytes_read_ += length;
  }
  available_ = bytes_read_;
}

bool FetchOperation::may_answer() const {
  return must_answer_ || expired_ || !plan_.may_wait || !any_readable_ ||
         bytes_read_ >= plan_.min_bytes || purgatory_.stopping();
}

void FetchOperation::decide() {
  if (may_answer()) {
    answer();
  } else {
    park();
  }
}

void FetchOperation::park() {
  // Watches go in before the partitions are looked at once more: what comes in between is seen by
  // one of the two.
  bool moved = false;
  for (auto& entry : plan_.entries) {
    if (entry.partition == nullptr) continue;
    entry.partition->remove_watch(entry.watch);
    entry.watch.wake_offset = entry.read.high_watermark + 1;
    entry.watch.counted_visible = entry.visible_before_read;
    entry.partition->add_watch(entry.watch);
    moved = moved || entry.partition->high_watermark() != entry.read.high_watermark ||
            entry.partition->availability() != ErrorCode::kNone;
  }
  const auto self = std::static_pointer_cast<FetchOperation>(shared_from_this());
  if (!purgatory_.park(self, plan_.deadline_ns)) {
    answer();
    return;
  }
  state_ = State::kParked;
  if (moved) wake();
}

bool FetchOperation::count_visible(uint64_t bytes) {
  return available_.fetch_add(bytes) + bytes >= plan_.min_bytes;
}

void FetchOperation::on_wake() {
  if (state_ == State::kParked) read();
}

void FetchOperation::on_timeout() {
  expired_ = true;
  if (state_ == State::kParked) read();
}

void FetchOperation::go_to_disk() {
  state_ = State::kOnDisk;
  const auto self = std::static_pointer_cast<FetchOperation>(shared_from_this());
  const bool taken = services_.disk_pool.submit([self] {
    self->read_entries();
    self->bring_in_entries();
    self->services_.server.post(self->reactor(), [self] { self->decide(); });
  });
  if (taken) return;
  services_.server.add_timer(reactor(), services_.clock.monotonic_ns() + kDiskPoolRetryNs,
                             [self] { self->go_to_disk(); });
}

void FetchOperation::bring_in_entries() {
  for (auto& entry : plan_.entries) {
    auto& slice = entry.read.slice;
    if (slice.file.length == 0 || is_resident(slice.file)) continue;
    if (const Status status = bring_in(slice.file, slice.path); !status.ok()) {
      log(LogLevel::kError, "fetch", status.error().message);
      slice = {};
      entry.read.error = ErrorCode::kKafkaStorageError;
      must_answer_ = true;
    }
  }
}

void FetchOperation::answer() {
  const auto keep = shared_from_this();
  state_ = State::kAnswered;
  remove_watches();
  close_session_books();
  services_.server.respond(token(), encode_fetch_response(plan_.header, plan_.entries));
  purgatory_.unpark(*this);
}

void FetchOperation::close_session_books() {
  if (plan_.session_kind == SessionKind::kNew) {
    FetchSession::Partitions partitions;
    const bool by_id = plan_.header.version >= kFetchFirstTopicIdVersion;
    for (const auto& entry : plan_.entries) {
      auto& cached = partitions.emplace_back();
      cached.key = by_id ? PartitionKey{entry.topic_id, {}, entry.index}
                         : PartitionKey{{}, entry.topic_name(), entry.index};
      cached.params = entry.params;
      cached.partition = entry.partition;
      if (entry.partition != nullptr) cached.resolved_name = entry.partition->topic().name;
      cached.update(entry.read);
    }
    plan_.header.session_id =
        services_.sessions.create(plan_.from_follower, by_id, std::move(partitions));
  } else if (plan_.session_kind == SessionKind::kIncremental) {
    FetchSession& session = *plan_.session;
    plan_.header.session_id = session.id;
    MutexLock lock(session.mutex);
    if (session.epoch != plan_.session_epoch) {
      // Another request came on this session while this one waited: this is a duplicate's answer.
      plan_.header.error = ErrorCode::kInvalidFetchSessionEpoch;
      plan_.entries.clear();
      return;
    }
    for (auto& entry : plan_.entries) {
      entry.included = entry.cached->update(entry.read);
      if (entry.read.slice.file.length > 0) session.rotate(*entry.cached);
    }
  }
}

void FetchOperation::remove_watches() {
  for (auto& entry : plan_.entries) {
    if (entry.partition != nullptr) entry.partition->remove_watch(entry.watch);
  }
}

}  // namespace barnabas::dataplane
