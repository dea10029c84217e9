#include "dataplane/engine.h"

#include <algorithm>
#include <utility>

#include "base/logger.h"
#include "dataplane/engine_impl.h"
#include "net/request_memory.h"

namespace barnabas::dataplane {
namespace {

// Cold fetches that wait for a disk thread of one directory; beyond it they try again a little
// later.
constexpr size_t kMaxQueuedDiskReads = 4096;

size_t queued_bytes_limit(const EngineConfig& config) {
  return static_cast<size_t>(net::RequestMemory::limit_of(config.server.queued_max_request_bytes));
}

}  // namespace

EngineImpl::EngineImpl(EngineConfig config, Clock& clock)
    : clock_(clock),
      config_(config),
      queue_(static_cast<size_t>(config.queued_max_requests), queued_bytes_limit(config)),
      disk_threads_("bnb-disk", config.disk_threads, kMaxQueuedDiskReads),
      sessions_(static_cast<size_t>(config.fetch_session_cache_slots), clock),
      server_(net::Server::create(config.server, *this, clock)),
      purgatory_(*server_, static_cast<size_t>(config.server.reactor_threads)),
      produce_(table_, {*server_, purgatory_, disk_threads_, flusher_, queue_, stalled_, clock},
               static_cast<size_t>(config.server.reactor_threads)),
      fetch_(table_, {*server_, purgatory_, disk_threads_, sessions_, clock, fetch_log_},
             static_cast<size_t>(config.server.reactor_threads)) {
  fetch_.set_max_bytes(config.fetch_max_bytes);
}

Result<std::vector<LoadReport>> EngineImpl::load_partitions(
    std::span<const PartitionSpec> partitions, const std::map<std::string, SettingMap>& configs) {
  BARNABAS_TRY(check_open());
  MutexLock topics_lock(topics_mutex_);
  std::map<std::string_view, std::shared_ptr<Topic>> topics;
  for (const auto& spec : partitions) {
    auto& topic = topics[spec.topic];
    if (topic != nullptr) continue;
    const auto settings = configs.find(spec.topic);
    BARNABAS_ASSIGN(const storage::LogConfig config,
                    topic_config(settings == configs.end() ? SettingMap{} : settings->second));
    topic = make_topic(spec.topic, spec.topic_id, config);
  }
  int threads = 1;
  {
    MutexLock lock(config_mutex_);
    threads = config_.recovery_threads * static_cast<int>(directories_->count());
  }
  // Nothing fails from here on: a directory that was begun is closed as one whose logs are known.
  BARNABAS_TRY(begin());
  std::vector<Result<size_t>> homes;
  homes.reserve(partitions.size());
  for (const auto& spec : partitions) {
    homes.push_back(directories_->settle({spec.topic, spec.partition}, spec.topic_id));
  }
  std::vector<LoadReport> reports(partitions.size());
  std::vector<std::shared_ptr<Partition>> opened(partitions.size());
  parallel_for(threads, partitions.size(), [&](size_t i) {
    opened[i] =
        open_partition(partitions[i], *topics.at(partitions[i].topic), homes[i], reports[i]);
  });
  for (size_t i = 0; i < partitions.size(); ++i) {
    topics.at(partitions[i].topic)->place(std::move(opened[i]));
  }
  for (auto& [name, topic] : topics) table_.put(std::move(topic));
  resume_moves();
  return reports;
}

std::shared_ptr<Partition> EngineImpl::open_partition(const PartitionSpec& spec, const Topic& topic,
                                                      const Result<size_t>& directory,
                                                      LoadReport& report) {
  report.topic = spec.topic;
  report.partition = spec.partition;
  std::unique_ptr<storage::Log> usable;
  if (directory.ok()) {
    auto log = directories_->store(*directory)
                   .open_log({spec.topic, spec.partition}, spec.topic_id, topic.config);
    if (log.ok()) {
      usable = std::move(log).value();
      report.recovery = usable->recovery_report();
    } else {
      report.error = log.error().message;
    }
  } else {
    report.error = directory.error().message;
  }
  auto partition = std::make_shared<Partition>(topic.identity, spec.partition, spec.leader_epoch,
                                               std::move(usable));
  if (directory.ok()) partition->set_directory(*directory);
  return partition;
}

Status EngineImpl::begin() {
  if (begun_) return {};
  BARNABAS_TRY(directories_->begin());
  begun_ = true;
  return {};
}

Status EngineImpl::start() {
  BARNABAS_TRY(check_open());
  BARNABAS_TRY(server_->start());
  MutexLock lock(config_mutex_);
  upkeep_ = std::make_unique<Upkeep>(table_, *directories_, flusher_, clock_, config_);
  upkeep_->start();
  mover_->start();
  return {};
}

void EngineImpl::run_due() {
  server_->run_due_timers();
  upkeep_->run_due();
}

Status EngineImpl::stop(int64_t grace_ms, LogsAtStop logs) {
  if (stopped_.exchange(true)) return {};
  purgatory_.stop();
  // The broker loop has stopped before: its clients go elsewhere at once, not after the grace.
  for (const net::RequestToken& request : queue_.stop()) {
    server_->respond(request, net::Response::close());
  }
  for (const net::RequestToken& dropped : faults_.end_all()) {
    server_->respond(dropped, net::Response::close());
  }
  server_->stop(grace_ms);
  if (upkeep_ != nullptr) upkeep_->stop();
  if (mover_ != nullptr) mover_->stop();
  disk_threads_.stop();
  append_threads_.stop();
  flusher_.stop();
  durable_waiters_.fail_all(ErrorCode::kNotLeaderOrFollower);
  if (directories_ == nullptr) return {};
  Status closed = logs == LogsAtStop::kClosed ? close_logs() : Status();
  directories_->release();
  return closed;
}

Status EngineImpl::close_logs() {
  int threads = 1;
  {
    MutexLock lock(config_mutex_);
    threads = config_.disk_threads;
  }
  if (!begun_) return {};  // the directory is as it was found
  return directories_->close_all(table_, threads);
}

net::Admission EngineImpl::serve(const net::Request& request) {
  if (request.api_key == kProduceKey) return produce_.handle(request);
  if (request.api_key == kFetchKey) return fetch_.handle(request);
  return queue_.offer(request);
}

std::vector<ControlRequest> EngineImpl::take_requests(size_t limit) {
  auto taken = queue_.take(limit);
  if (taken.resume) server_->resume_paused();
  return std::move(taken.requests);
}

void EngineImpl::respond(uint64_t token, std::vector<uint8_t> payload) {
  const auto asker = queue_.redeem(token);
  if (!asker) return;
  if (asker->reply != nullptr) {
    asker->reply(std::move(payload));
  } else if (asker->answer == ControlQueue::Answer::kClose) {
    server_->respond(asker->request, net::Response::close());
  } else if (asker->answer == ControlQueue::Answer::kGiven) {
    server_->respond(asker->request, net::Response::of(std::move(payload)));
  }
}

void EngineImpl::close_connection(uint64_t token) {
  const auto asker = queue_.redeem(token);
  if (!asker) return;
  if (asker->reply != nullptr) {
    asker->reply(std::nullopt);
  } else {
    server_->respond(asker->request, net::Response::close());
  }
}

std::vector<std::pair<std::string, int64_t>> EngineImpl::stats() {
  const net::ServerStats server = server_->stats();
  const auto count = [](auto value) { return static_cast<int64_t>(value); };
  return {{"connections", count(server.connections)},
          {"connections_total", count(server.connections_total)},
          {"requests_total", count(server.requests_total)},
          {"bytes_in", count(server.bytes_in)},
          {"bytes_out", count(server.bytes_out)},
          {"request_bytes", server.request_bytes},
          {"batches_appended", count(produce_.batches_appended())},
          {"flushes", count(flusher_.flush_count())},
          {"requests_parked", purgatory_.parked_count()},
          {"requests_parked_bytes", purgatory_.parked_bytes()},
          {"requests_queued", count(queue_.queued())},
          {"disk_reads", count(disk_threads_.submitted())},
          {"disk_reads_queued", count(disk_threads_.queued())},
          {"fetch_sessions", count(sessions_.size())},
          {"fetch_session_partitions", count(sessions_.partition_count())},
          {"fetch_session_bytes", count(sessions_.memory_bytes())}};
}

Result<std::unique_ptr<Engine>> Engine::create(const SettingMap& settings, Clock& clock) {
  BARNABAS_ASSIGN(const EngineConfig config, parse_engine_config(settings));
  auto engine = std::make_unique<EngineImpl>(config, clock);
  BARNABAS_TRY(engine->open_queue());
  return std::unique_ptr<Engine>(std::move(engine));
}

}  // namespace barnabas::dataplane
