#include "dataplane/fetch_operation.h"

#include <algorithm>
#include <cassert>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "dataplane/directory_pools.h"
#include "dataplane/fetch_request.h"
#include "dataplane/fetch_response.h"
#include "dataplane/page_cache.h"

namespace barnabas::dataplane {
namespace {

bool may_be_cold(const FetchEntry& entry) {
  return entry.partition->may_be_cold(entry.params.fetch_offset);
}

}  // namespace

FetchOperation::FetchOperation(FetchServices& services, FetchPlan plan)
    : DelayedOperation(services.purgatory, plan.token),
      services_(services),
      plan_(std::move(plan)) {
  for (auto& entry : plan_.entries) entry.watch.waiter = this;
}

FetchOperation::~FetchOperation() { remove_watches(); }

void FetchOperation::read() {
  state_ = State::kReading;
  next_entry_ = 0;
  must_answer_ = false;
  bytes_read_ = 0;
  if (std::any_of(plan_.entries.begin(), plan_.entries.end(), may_be_cold)) {
    go_to_disk();
    return;
  }
  for (auto& entry : plan_.entries) read_entry(entry);
  decide();
}

void FetchOperation::read_entry(FetchEntry& entry) {
  Partition& partition = *entry.partition;
  const uint64_t left = plan_.max_bytes - std::min(plan_.max_bytes, bytes_read_);
  const uint64_t allowed =
      std::min<uint64_t>(left, static_cast<uint64_t>(std::max(0, entry.params.max_bytes)));
  // Nothing was there and nothing has come: no need to look again.
  const bool unchanged = entry.has_read && entry.read.error == ErrorCode::kNone &&
                         entry.read.high_watermark == entry.params.fetch_offset &&
                         partition.high_watermark() == entry.params.fetch_offset &&
                         partition.availability() == ErrorCode::kNone;
  if (!unchanged) {
    entry.visible_before_read = partition.visible_bytes();
    const bool at_least_one = bytes_read_ == 0;
    entry.read = partition.read(entry.params, allowed, at_least_one, plan_.header.isolation);
    entry.has_read = true;
  }
  const auto& slice = entry.read.slice;
  if (entry.read.error != ErrorCode::kNone || entry.read.diverging.leader_epoch >= 0) {
    must_answer_ = true;
    if (const std::string failure = partition.take_read_failure(); !failure.empty()) {
      report(failure);
    }
  }
  // The next bytes lie in another segment, which the next request reads.
  if (slice.file.length > 0 && !slice.in_active_segment) must_answer_ = true;
  bytes_read_ += slice.file.length;
}

void FetchOperation::report(const std::string& failure) {
  services_.log.log(LogLevel::kError, failure, services_.clock.monotonic_ns());
}

bool FetchOperation::may_answer() const {
  return must_answer_ || expired_ || !plan_.may_wait || plan_.entries.empty() ||
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
  available_ = bytes_read_;
  // Watches go in before the partitions are looked at once more: what comes in between is seen by
  // one of the two.
  const bool committed = plan_.header.isolation == IsolationLevel::kReadCommitted;
  bool moved = false;
  for (auto& entry : plan_.entries) {
    Partition& partition = *entry.partition;
    const int64_t end = committed ? entry.read.last_stable_offset : entry.read.high_watermark;
    partition.remove_watch(entry.watch);
    entry.watch.wake_offset = end + 1;
    entry.watch.counted_visible = entry.visible_before_read;
    entry.watch.for_stable = committed;
    entry.watch.counted_unstable = end < entry.read.high_watermark;
    partition.add_watch(entry.watch);
    moved = moved ||
            (committed ? partition.last_stable_offset() : partition.high_watermark()) != end ||
            partition.availability() != ErrorCode::kNone;
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
  const auto next = plan_.entries.begin() + static_cast<ptrdiff_t>(next_entry_);
  const auto cold = std::find_if(next, plan_.entries.end(), may_be_cold);
  const size_t directory = (cold == plan_.entries.end() ? next : cold)->partition->directory();
  const bool taken = services_.disk_threads.submit(
      directory, [self, directory] { self->read_on_disk_thread(directory); });
  if (taken) return;
  services_.server.add_timer(reactor(), services_.clock.monotonic_ns() + kQueueRetryNs,
                             [self] { self->go_to_disk(); });
}

void FetchOperation::read_on_disk_thread(size_t directory) {
  const auto self = std::static_pointer_cast<FetchOperation>(shared_from_this());
  for (; next_entry_ < plan_.entries.size(); ++next_entry_) {
    FetchEntry& entry = plan_.entries[next_entry_];
    // Once there is enough nothing more is read.
    const bool cold = (bytes_read_ == 0 || bytes_read_ < plan_.max_bytes) && may_be_cold(entry);
    if (cold && entry.partition->directory() != directory) {
      services_.server.post(reactor(), [self] { self->go_to_disk(); });
      return;
    }
    read_entry(entry);
    if (cold) bring_in(entry);
  }
  services_.server.post(reactor(), [self] { self->decide(); });
}

void FetchOperation::bring_in(FetchEntry& entry) {
  auto& slice = entry.read.slice;
  if (slice.file.length == 0 || is_resident(slice.file)) return;
  const Status status = dataplane::bring_in(slice.file, slice.path);
  if (status.ok()) return;
  report(status.error().message);
  slice = {};
  entry.read.error = ErrorCode::kKafkaStorageError;
  must_answer_ = true;
}

void FetchOperation::answer() {
  const auto keep = shared_from_this();
  state_ = State::kAnswered;
  remove_watches();
  if (plan_.session_kind == SessionKind::kNew) make_session();
  if (plan_.session_kind == SessionKind::kIncremental) update_session();
  services_.server.respond(token(), encode_fetch_response(plan_));
  purgatory_.unpark(*this);
}

void FetchOperation::make_session() {
  FetchSession::Partitions partitions;
  const bool by_id = plan_.header.version >= kFetchFirstTopicIdVersion;
  plan_.for_each([&](auto& part) {
    auto& cached = partitions.emplace_back();
    cached.params = part.params;
    if constexpr (std::is_same_v<decltype(part), FetchEntry&>) {
      const TopicIdentity& topic = part.partition->topic();
      cached.key = {by_id ? topic.id : Uuid{}, by_id ? std::string() : topic.name,
                    part.partition->index()};
      cached.partition = part.partition;
      cached.resolved_name = topic.name;
      cached.update(part.read);
    } else {
      const FetchTopicName& topic = plan_.refused_topics[part.topic];
      cached.key = {topic.id, topic.name, part.index};
    }
  });
  plan_.header.session_id = services_.sessions.create(by_id, std::move(partitions));
}

void FetchOperation::update_session() {
  FetchSession& session = *plan_.session;
  plan_.header.session_id = session.id;
  MutexLock lock(session.mutex);
  if (session.epoch != plan_.session_epoch) {
    // Another request came on this session while this one waited: this is a duplicate's answer.
    plan_.header.error = ErrorCode::kInvalidFetchSessionEpoch;
    plan_.clear();
    return;
  }
  // With the epoch the partitions are as they were when the plan was made from them.
  assert(session.partitions().size() == plan_.size());
  auto next = session.partitions().begin();
  std::vector<FetchSession::Partitions::iterator> had_data;
  plan_.for_each([&](auto& part) {
    const auto cached = next++;
    if constexpr (std::is_same_v<decltype(part), FetchEntry&>) {
      part.told = cached->update(part.read);
      if (part.read.slice.file.length > 0) had_data.push_back(cached);
    } else {
      cached->note_error();
    }
  });
  for (const auto cached : had_data) session.rotate(cached);
}

void FetchOperation::remove_watches() {
  for (auto& entry : plan_.entries) entry.partition->remove_watch(entry.watch);
}

}  // namespace barnabas::dataplane
