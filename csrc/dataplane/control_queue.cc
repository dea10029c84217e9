#include "dataplane/control_queue.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

namespace barnabas::dataplane {

Status ControlQueue::open() {
  event_ = UniqueFd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!event_.valid()) return system_error("eventfd");
  return {};
}

net::Admission ControlQueue::offer(const net::Request& request, int16_t fault, Answer answer) {
  ControlRequest control;
  control.fault = fault;
  control.api_key = request.api_key;
  control.api_version = request.api_version;
  control.correlation_id = request.correlation_id;
  if (request.client_id.has_value()) control.client_id = std::string(*request.client_id);
  control.peer_host = std::string(request.peer_host);
  control.body.assign(request.body.begin(), request.body.end());
  return queue(std::move(control), {request.token, nullptr, answer});
}

net::Admission ControlQueue::offer_own(ControlRequest request, OwnReply reply) {
  return queue(std::move(request), {{}, std::move(reply), Answer::kGiven});
}

net::Admission ControlQueue::queue(ControlRequest control, Asker asker) {
  MutexLock lock(mutex_);
  if (stopped_) return net::Admission::kReject;
  if (!has_room(control.body.size())) {
    refused_ = true;
    return net::Admission::kBusy;
  }
  control.token = next_token_++;
  askers_.emplace(control.token, std::move(asker));
  queued_bytes_ += control.body.size();
  queue_.push_back(std::move(control));
  if (queue_.size() == 1) (void)eventfd_write(event_.get(), 1);  // cannot fail at 1
  return net::Admission::kTakenAlone;
}

ControlQueue::Taken ControlQueue::take(size_t limit) {
  Taken taken;
  MutexLock lock(mutex_);
  const size_t count = std::min(limit, queue_.size());
  taken.requests.reserve(count);
  for (size_t i = 0; i < count; ++i) {
    queued_bytes_ -= queue_.front().body.size();
    taken.requests.push_back(std::move(queue_.front()));
    queue_.pop_front();
  }
  if (queue_.empty()) {
    eventfd_t ignored = 0;
    (void)eventfd_read(event_.get(), &ignored);  // EAGAIN when it was not set
  }
  taken.resume = refused_ && has_room(0);
  if (taken.resume) refused_ = false;
  return taken;
}

bool ControlQueue::has_room(size_t body_bytes) const {
  // A request larger than the limit passes alone.
  return queue_.empty() ||
         (queue_.size() < max_queued_ && queued_bytes_ + body_bytes <= max_queued_bytes_);
}

std::optional<ControlQueue::Asker> ControlQueue::redeem(uint64_t token) {
  MutexLock lock(mutex_);
  auto found = askers_.extract(token);
  if (found.empty()) return std::nullopt;
  return std::move(found.mapped());
}

std::vector<net::RequestToken> ControlQueue::stop() {
  std::vector<net::RequestToken> unanswered;
  std::unordered_map<uint64_t, Asker> askers;
  {
    MutexLock lock(mutex_);
    stopped_ = true;
    event_.reset();
    queue_.clear();
    queued_bytes_ = 0;
    askers.swap(askers_);
  }
  unanswered.reserve(askers.size());
  for (const auto& [token, asker] : askers) {
    if (asker.reply == nullptr) unanswered.push_back(asker.request);
  }
  return unanswered;
}

void ControlQueue::set_limits(size_t max_queued, size_t max_queued_bytes) {
  MutexLock lock(mutex_);
  max_queued_bytes_ = max_queued_bytes;
  max_queued_ = max_queued;
}

size_t ControlQueue::queued() const {
  MutexLock lock(mutex_);
  return queue_.size();
}

}  // namespace barnabas::dataplane
