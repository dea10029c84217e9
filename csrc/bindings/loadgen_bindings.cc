// `LoadPlan`, `LoadGenerator`: the load generator. Semantics are in _core.pyi.
#include <pybind11/stl.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bindings/bindings.h"
#include "bindings/convert.h"
#include "bindings/gil.h"
#include "loadgen/generator.h"

namespace barnabas::bindings {
namespace {

using loadgen::KeyDistribution;
using loadgen::LoadGenerator;
using loadgen::Plan;
using loadgen::Tally;
using GeneratorHolder = std::unique_ptr<LoadGenerator, DeleteWithoutGil>;
using PlanClass = py::class_<Plan>;

constexpr double kLongestS = 1e9;  // of a plan's times

double to_seconds(int64_t ns) { return static_cast<double>(ns) / loadgen::kNsPerSecond; }
int to_ms(double seconds) { return static_cast<int>(std::clamp(seconds, 0.0, 1e6) * 1000); }

void def_seconds(PlanClass& plan, const char* name, int64_t Plan::*field) {
  plan.def_property(
      name, [field](const Plan& self) { return to_seconds(self.*field); },
      [field](Plan& self, double seconds) {
        if (!(seconds >= 0 && seconds <= kLongestS)) throw py::value_error("a time is too long");
        self.*field = static_cast<int64_t>(seconds * loadgen::kNsPerSecond);
      });
}

void set_key_distribution(Plan& plan, const std::string& name) {
  if (name == "none") {
    plan.key_distribution = KeyDistribution::kNone;
  } else if (name == "uniform") {
    plan.key_distribution = KeyDistribution::kUniform;
  } else if (name == "zipf") {
    plan.key_distribution = KeyDistribution::kZipf;
  } else {
    throw py::value_error("no key distribution is called " + name);
  }
}

// Requires GIL, all of it.
void bind_plan(py::module_& module) {
  PlanClass plan(module, "LoadPlan");
  plan.def(py::init<>())
      .def_readwrite("threads", &Plan::threads)
      .def_readwrite("records", &Plan::records)
      .def_readwrite("rate", &Plan::rate)
      .def_readwrite("in_flight", &Plan::in_flight)
      .def_readwrite("acks", &Plan::acks)
      .def_readwrite("record_size", &Plan::record_size)
      .def_readwrite("batch_bytes", &Plan::batch_bytes)
      .def_readwrite("batch_records", &Plan::batch_records)
      .def_property(
          "codec", [](const Plan& self) { return static_cast<int>(self.codec); },
          [](Plan& self, int codec) {
            if (codec < 0 || codec > 4) throw py::value_error("no codec has that number");
            self.codec = static_cast<record::Codec>(codec);
          })
      .def_readwrite("keys", &Plan::keys)
      .def_readwrite("partitions_per_topic", &Plan::partitions_per_topic)
      .def_readwrite("stamped", &Plan::stamped)
      .def_readwrite("fetch_max_bytes", &Plan::fetch_max_bytes)
      .def_readwrite("partition_max_bytes", &Plan::partition_max_bytes)
      .def_readwrite("fetch_min_bytes", &Plan::fetch_min_bytes)
      .def_readwrite("fetch_max_wait_ms", &Plan::fetch_max_wait_ms)
      .def_readwrite("repeat", &Plan::repeat)
      .def_readwrite("verify", &Plan::verify)
      .def("set_key_distribution", &set_key_distribution, py::arg("name"));
  def_seconds(plan, "warm_up_s", &Plan::warm_up_ns);
  def_seconds(plan, "duration_s", &Plan::duration_ns);
  def_seconds(plan, "linger_s", &Plan::linger_ns);
  plan.def(
      "add_partition",
      [](Plan& self, std::string topic, int32_t partition, int64_t start, int64_t end) {
        self.partitions.push_back({std::move(topic), partition, start, end});
        return self.partitions.size() - 1;
      },
      py::arg("topic"), py::arg("partition"), py::arg("start_offset") = 0,
      py::arg("end_offset") = -1);
  plan.def(
      "add_connection",
      [](Plan& self, std::string host, uint16_t port, bool consumes,
         std::vector<int32_t> partitions) {
        const auto role = consumes ? loadgen::Role::kConsume : loadgen::Role::kProduce;
        self.connections.push_back({std::move(host), port, role, std::move(partitions)});
      },
      py::arg("host"), py::arg("port"), py::arg("consumes"), py::arg("partitions"));
}

// Requires GIL, all of it.
void bind_counters(py::module_& module) {
  py::class_<Tally> tally(module, "LoadCounters");
  const auto def_flow = [&tally](const std::string& name, auto flow_of) {
    const auto def = [&](const char* what, int64_t loadgen::Counters::*field) {
      tally.def_property_readonly((name + what).c_str(), [flow_of, field](const Tally& self) {
        return flow_of(self).*field;
      });
    };
    def("_requests", &loadgen::Counters::requests);
    def("_records", &loadgen::Counters::records);
    def("_bytes", &loadgen::Counters::bytes);
  };
  def_flow(
      "produced", [](const Tally& t) -> const auto& { return t.produced.all; });
  def_flow(
      "measured_produced", [](const Tally& t) -> const auto& { return t.produced.measured; });
  def_flow(
      "fetched", [](const Tally& t) -> const auto& { return t.fetched.all; });
  def_flow(
      "measured_fetched", [](const Tally& t) -> const auto& { return t.fetched.measured; });
  tally.def_readonly("unsent_records", &Tally::unsent_records)
      .def_readonly("last_measured_ns", &Tally::last_measured_ns)
      .def_readonly("failed_requests", &Tally::failed_requests)
      .def_readonly("corrupt_batches", &Tally::corrupt_batches)
      .def_readonly("errors", &Tally::errors);
}

// Releases GIL.
py::bytes take_latencies(LoadGenerator& self) {
  const auto taken = without_gil([&] { return self.take_latencies(); });
  const auto& counts = taken.counts();
  return {reinterpret_cast<const char*>(counts.data()), counts.size() * sizeof(int64_t)};
}

void bind_generator(py::module_& module) {
  py::class_<LoadGenerator, GeneratorHolder> generator(module, "LoadGenerator");
  // Releases GIL, each.
  generator.def(py::init([](const Plan& plan) {
                  auto made = check(without_gil([&] { return LoadGenerator::create(plan); }));
                  return GeneratorHolder(made.release());
                }),
                py::arg("plan"));
  generator.def(
      "start",
      [](LoadGenerator& self, double timeout_s) {
        check(without_gil([&] { return self.start(to_ms(timeout_s)); }));
      },
      py::arg("connect_timeout_s"));
  generator.def(
      "wait",
      [](LoadGenerator& self, double timeout_s) {
        return check(without_gil([&] { return self.wait(to_ms(timeout_s)); }));
      },
      py::arg("timeout_s"));
  generator.def("counters",
                [](LoadGenerator& self) { return without_gil([&] { return self.counters(); }); });
  generator.def("take_latencies", &take_latencies);
  generator.def("usage", [](LoadGenerator& self) {
    const auto usage = without_gil([&] { return self.usage(); });
    std::vector<std::pair<double, double>> seconds;
    seconds.reserve(usage.size());
    for (const auto& worker : usage) {
      seconds.emplace_back(to_seconds(worker.cpu_ns), to_seconds(worker.wall_ns));
    }
    return seconds;
  });
  // Requires GIL, each: they wait for nothing.
  generator.def("stop", &LoadGenerator::stop);
  generator.def_property_readonly("measure_ns", &LoadGenerator::measure_ns);
  generator.def_property_readonly("records_per_batch", &LoadGenerator::records_per_batch);
}

}  // namespace

void bind_loadgen(py::module_& module) {
  bind_plan(module);
  bind_counters(module);
  bind_generator(module);
  // Requires GIL.
  module.def(
      "latency_index",
      [](int64_t value_ns) {
        if (value_ns < 0 || value_ns > loadgen::kHistogramHighest) {
          throw py::value_error("a latency is between 0 and one hour");
        }
        return loadgen::Histogram::index_of(value_ns);
      },
      py::arg("value_ns"));
}

}  // namespace barnabas::bindings
