// How the engine lets requests go wrong, see request_faults.h.
#include <utility>

#include "dataplane/engine_impl.h"

namespace barnabas::dataplane {
namespace {

/// Above every generation that a connection has: an answer to it finds nobody.
constexpr uint32_t kNobodysGeneration = 1U << 31;

}  // namespace

net::Admission EngineImpl::on_struck_request(const net::Request& request) {
  const auto strike = faults_.strike(request, clock_.monotonic_ns());
  if (!strike.has_value()) return serve(request);
  switch (strike->effect) {
    case RequestEffect::kDelay:
      if (!strike->again) {
        server_->add_timer(request.token.reactor, strike->value,
                           [server = server_.get()] { server->resume_paused(); });
      }
      return net::Admission::kBusy;
    case RequestEffect::kDisconnectBefore:
      server_->respond(request.token, net::Response::close());
      return net::Admission::kTaken;
    case RequestEffect::kDropBefore:
      faults_.note_dropped(*strike, request.token);
      return net::Admission::kTakenAlone;
    case RequestEffect::kFail:
      return counted(*strike, queue_.offer(request, static_cast<int16_t>(strike->value)));
    case RequestEffect::kDropAfter:
    case RequestEffect::kDisconnectAfter:
      return counted(*strike, serve_unanswered(request, *strike));
  }
  return net::Admission::kReject;
}

net::Admission EngineImpl::counted(const RequestFaults::Strike& strike, net::Admission admission) {
  if (admission == net::Admission::kBusy) faults_.take_back(strike);
  return admission;
}

net::Admission EngineImpl::serve_unanswered(const net::Request& request,
                                            const RequestFaults::Strike& strike) {
  const bool closes = strike.effect == RequestEffect::kDisconnectAfter;
  if (request.api_key != kProduceKey && request.api_key != kFetchKey) {
    const auto instead = closes ? ControlQueue::Answer::kClose : ControlQueue::Answer::kNone;
    const net::Admission admission = queue_.offer(request, 0, instead);
    if (!closes && admission == net::Admission::kTakenAlone) {
      faults_.note_dropped(strike, request.token);
    }
    return admission;
  }
  net::Request nobodys = request;
  nobodys.token.generation |= kNobodysGeneration;
  const net::Admission admission = serve(nobodys);
  if (admission == net::Admission::kBusy || admission == net::Admission::kReject) return admission;
  if (closes) {
    server_->respond(request.token, net::Response::close());
    return net::Admission::kTaken;
  }
  faults_.note_dropped(strike, request.token);
  return net::Admission::kTakenAlone;
}

uint64_t EngineImpl::add_request_fault(RequestFault fault) { return faults_.add(std::move(fault)); }

void EngineImpl::remove_request_fault(uint64_t id) {
  for (const net::RequestToken& dropped : faults_.remove(id)) {
    server_->respond(dropped, net::Response::close());
  }
  server_->resume_paused();
}

std::pair<uint64_t, uint64_t> EngineImpl::count_request_fault(uint64_t id) {
  const RequestFaults::Count count = faults_.count(id);
  return {count.matched, count.struck};
}

}  // namespace barnabas::dataplane
