#include "loadgen/generator.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <random>

#include "base/clock.h"
#include "loadgen/connect.h"
#include "loadgen/consumer.h"

namespace barnabas::loadgen {
namespace {

constexpr int64_t kStartDelayNs = 20 * kNsPerMs;  // so that every worker is there when it begins

Status check(const Plan& plan) {
  const auto bad = [](std::string why) {
    return Error{ErrorCode::kInvalidRequest, std::move(why)};
  };
  if (plan.connections.empty()) return bad("the plan has no connections");
  if (plan.threads < 1) return bad("the plan has no threads");
  if (plan.in_flight < 1) return bad("no request may be in flight");
  if (plan.record_size < (plan.stamped ? static_cast<int32_t>(kStampBytes) : 0)) {
    return bad("records are too small for what their values carry");
  }
  if (plan.key_distribution != KeyDistribution::kNone &&
      (plan.keys < 1 || plan.partitions_per_topic < 1)) {
    return bad("there are no keys to choose from");
  }
  for (const ConnectionPlan& connection : plan.connections) {
    for (const int32_t index : connection.partitions) {
      if (index < 0 || static_cast<size_t>(index) >= plan.partitions.size()) {
        return bad("a connection has a partition that the plan does not know");
      }
    }
  }
  for (const PartitionPlan& partition : plan.partitions) {
    const bool has_group = partition.partition < plan.partitions_per_topic;
    if (partition.partition < 0 ||
        (plan.key_distribution != KeyDistribution::kNone && !has_group)) {
      return bad("a partition's number is out of range");
    }
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<LoadGenerator>> LoadGenerator::create(Plan plan) {
  BARNABAS_TRY(check(plan));
  std::unique_ptr<LoadGenerator> generator(new LoadGenerator(std::move(plan)));
  generator->run_.plan = &generator->plan_;
  std::random_device device;
  generator->run_.id = (uint64_t{device()} << 32) | device();
  const int64_t timestamp_ms = system_clock().wall_ms();
  BARNABAS_ASSIGN(generator->templates_, BatchTemplates::build(generator->plan_, timestamp_ms));
  return generator;
}

LoadGenerator::~LoadGenerator() {
  for (const auto& worker : workers_) worker->abort();
  for (std::thread& thread : threads_) thread.join();
}

Status LoadGenerator::start(int connect_timeout_ms) {
  if (!workers_.empty()) return Error{ErrorCode::kInvalidRequest, "it was started before"};
  std::vector<UniqueFd> sockets;
  BARNABAS_TRY(connect(connect_timeout_ms, sockets));
  run_.start_ns = system_clock().monotonic_ns() + kStartDelayNs;
  run_.measure_ns = run_.start_ns + plan_.warm_up_ns;
  if (plan_.duration_ns > 0) run_.stop_ns = run_.measure_ns + plan_.duration_ns;
  BARNABAS_TRY(add_sessions(std::move(sockets)));
  {
    MutexLock lock(mutex_);
    running_ = workers_.size();
  }
  for (const auto& worker : workers_) {
    threads_.emplace_back([this, &worker] { run_worker(*worker); });
  }
  return {};
}

Status LoadGenerator::connect(int timeout_ms, std::vector<UniqueFd>& sockets) {
  for (const ConnectionPlan& connection : plan_.connections) {
    BARNABAS_ASSIGN(UniqueFd socket, connect_to(connection.host, connection.port, timeout_ms));
    sockets.push_back(std::move(socket));
  }
  return {};
}

std::vector<ProducerShare> LoadGenerator::shares() const {
  // A connection's part is that of its partitions, which all connections to their leader share.
  std::vector<double> weights;
  double total = 0;
  for (const ConnectionPlan& connection : plan_.connections) {
    double weight = 0;
    if (connection.role == Role::kProduce) {
      for (const int32_t index : connection.partitions) {
        weight += templates_->weight(plan_.partitions[static_cast<size_t>(index)].partition);
      }
    }
    weights.push_back(weight);
    total += weight;
  }
  std::vector<ProducerShare> shares(weights.size());
  double before = 0;
  for (size_t i = 0; i < weights.size(); ++i) {
    const double after = before + (total > 0 ? weights[i] / total : 0);
    const auto quota_at = [&](double part) {
      return static_cast<int64_t>(std::llround(part * static_cast<double>(plan_.records)));
    };
    shares[i].rate = plan_.rate * (after - before);
    shares[i].phase = static_cast<double>(i) / static_cast<double>(weights.size());
    shares[i].quota = plan_.records > 0 ? quota_at(after) - quota_at(before) : kNever;
    shares[i].seed = i;
    before = after;
  }
  return shares;
}

Status LoadGenerator::add_sessions(std::vector<UniqueFd> sockets) {
  const size_t threads = std::min(static_cast<size_t>(plan_.threads), sockets.size());
  for (size_t i = 0; i < threads; ++i) {
    BARNABAS_ASSIGN(auto worker, Worker::create(run_));
    workers_.push_back(std::move(worker));
  }
  const std::vector<ProducerShare> all_shares = shares();
  for (size_t i = 0; i < sockets.size(); ++i) {
    const ConnectionPlan& connection = plan_.connections[i];
    std::unique_ptr<Session> session;
    if (connection.role == Role::kProduce) {
      session = std::make_unique<Producer>(std::move(sockets[i]), run_, connection, all_shares[i],
                                           *templates_);
      if (!session->is_done()) run_.producers_left.fetch_add(1);
    } else {
      session = std::make_unique<Consumer>(std::move(sockets[i]), run_, connection);
    }
    if (session->is_done()) continue;
    BARNABAS_TRY(workers_[i % threads]->add(std::move(session)));
  }
  return {};
}

void LoadGenerator::run_worker(Worker& worker) {
  Status ended = worker.run();
  if (!ended.ok()) {
    for (const auto& other : workers_) other->abort();
  }
  MutexLock lock(mutex_);
  --running_;
  if (!ended.ok() && !error_) error_ = std::move(ended).error();
  ended_.notify_all();
}

Result<bool> LoadGenerator::wait(int timeout_ms) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(timeout_ms);
  MutexLock lock(mutex_);
  while (running_ > 0 && !error_) {
    const auto left = deadline - std::chrono::steady_clock::now();
    if (left <= left.zero()) return false;
    ended_.wait_for(mutex_, left);
  }
  if (error_) return *error_;
  return true;
}

void LoadGenerator::stop() {
  const int64_t now_ns = system_clock().monotonic_ns();
  int64_t stop_ns = run_.stop_ns.load();
  while (now_ns < stop_ns && !run_.stop_ns.compare_exchange_weak(stop_ns, now_ns)) {
  }
}

Tally LoadGenerator::counters() {
  Tally sum;
  for (const auto& worker : workers_) worker->add_counters_to(sum);
  return sum;
}

Histogram LoadGenerator::take_latencies() {
  Histogram sum;
  for (const auto& worker : workers_) worker->take_latencies_into(sum);
  return sum;
}

std::vector<WorkerUsage> LoadGenerator::usage() {
  std::vector<WorkerUsage> all;
  all.reserve(workers_.size());
  for (const auto& worker : workers_) all.push_back(worker->usage());
  return all;
}

}  // namespace barnabas::loadgen
