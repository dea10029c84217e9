// `Core`: the Engine of the data plane, method by method. Semantics are in _core.pyi.
#include <pybind11/functional.h>
#include <pybind11/stl.h>

#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "base/virtual_clock.h"
#include "bindings/bindings.h"
#include "bindings/convert.h"
#include "bindings/engine_capsule.h"
#include "bindings/gil.h"
#include "dataplane/engine.h"

namespace barnabas::bindings {
namespace {

using dataplane::Engine;
using EngineHolder = std::unique_ptr<Engine, DeleteWithoutGil>;
using PyCore = py::class_<Engine, EngineHolder>;
using OffsetTuple = std::tuple<int64_t, int64_t, int32_t>;

OffsetTuple to_tuple(const storage::TimestampOffset& found) {
  return {found.timestamp, found.offset, found.leader_epoch};
}

std::vector<uint8_t> copy_of(const py::handle& bytes) {
  const ByteView view = view_of(bytes);
  return {view.begin(), view.end()};
}

// Requires GIL to read the arguments, then releases it.
std::vector<dataplane::LoadReport> load_partitions(Engine& engine, const py::sequence& partitions,
                                                   const py::dict& configs) {
  std::vector<dataplane::PartitionSpec> specs;
  specs.reserve(partitions.size());
  for (const py::handle item : partitions) {
    const auto fields = py::cast<py::tuple>(item);
    if (fields.size() != 4) {
      throw py::value_error("a partition is (topic, topic id, partition, leader epoch)");
    }
    specs.push_back({py::cast<std::string>(fields[0]), to_uuid(py::cast<py::bytes>(fields[1])),
                     py::cast<int32_t>(fields[2]), py::cast<int32_t>(fields[3])});
  }
  std::map<std::string, dataplane::SettingMap> settings;
  for (const auto& [topic, config] : configs) {
    settings.emplace(py::cast<std::string>(topic), to_settings(config));
  }
  return check(without_gil([&] { return engine.load_partitions(specs, settings); }));
}

// Requires GIL.
py::tuple to_fields(const py::handle& value, size_t count, const char* what) {
  if (!py::isinstance<py::tuple>(value) || py::len(value) != count) throw py::value_error(what);
  return py::reinterpret_borrow<py::tuple>(value);
}

// Requires GIL.
dataplane::TransactionalProducer to_producer(const py::handle& value) {
  const auto fields = to_fields(value, 2, "a producer is (id, epoch)");
  return {py::cast<int64_t>(fields[0]), py::cast<int16_t>(fields[1])};
}

// Requires GIL. Borrows from the tuple.
dataplane::CoordinatorAppend to_append(const py::handle& value) {
  const auto fields =
      to_fields(value, 5, "an append is (topic, partition, records, producer, marker)");
  dataplane::CoordinatorAppend append;
  append.topic = text_of(fields[0]);
  append.partition = py::cast<int32_t>(fields[1]);
  if (!py::isinstance<py::tuple>(fields[2])) throw py::type_error("records: expected a tuple");
  append.records = to_records(py::reinterpret_borrow<py::tuple>(fields[2]));
  if (!fields[3].is_none()) append.producer = to_producer(fields[3]);
  if (!fields[4].is_none()) {
    const auto end = to_fields(
        fields[4], 4, "a marker is (producer, is commit, coordinator epoch, transaction version)");
    append.marker = {to_producer(end[0]), py::cast<bool>(end[1]), py::cast<int32_t>(end[2]),
                     py::cast<int16_t>(end[3])};
  }
  return append;
}

// Requires GIL to read the arguments, then releases it.
py::list append_all(Engine& engine, const py::tuple& appends, const py::function& on_late) {
  std::vector<dataplane::CoordinatorAppend> asked;
  asked.reserve(appends.size());
  for (const py::handle item : appends) asked.push_back(to_append(item));
  const SharedCallable callable(on_late);
  const auto outcomes = without_gil([&] {
    return engine.append_all(asked, [callable](size_t index, ErrorCode error) {
      callable(index, static_cast<int>(error));
    });
  });
  py::list told;
  for (const auto& outcome : outcomes) {
    told.append(outcome.has_value() ? py::object(py::int_(static_cast<int>(*outcome)))
                                    : py::none());
  }
  return told;
}

// Requires GIL to read the arguments, then releases it.
void mark_verified(Engine& engine, int64_t producer_id, int16_t producer_epoch,
                   const std::string& transactional_id,
                   const std::vector<std::pair<std::string, int32_t>>& partitions) {
  without_gil([&] {
    engine.mark_verified({producer_id, producer_epoch}, transactional_id, partitions);
  });
}

// Requires GIL to read the arguments, then releases it.
void respond_many(Engine& engine, const py::sequence& answers) {
  std::vector<std::pair<uint64_t, std::vector<uint8_t>>> copies;
  copies.reserve(answers.size());
  for (const py::handle item : answers) {
    const auto pair = py::cast<py::tuple>(item);
    copies.emplace_back(py::cast<uint64_t>(pair[0]), copy_of(py::object(pair[1])));
  }
  without_gil([&] {
    for (auto& [token, payload] : copies) engine.respond(token, std::move(payload));
  });
}

// Requires GIL to read the arguments, then releases it.
std::vector<std::pair<int, int64_t>> delete_records(Engine& engine, const py::sequence& deletions) {
  std::vector<dataplane::RecordDeletion> asked;
  asked.reserve(deletions.size());
  for (const py::handle item : deletions) {
    auto [topic, partition, offset] = py::cast<std::tuple<std::string, int32_t, int64_t>>(item);
    asked.push_back({std::move(topic), partition, offset});
  }
  std::vector<std::pair<int, int64_t>> answers;
  for (const auto& answer : check(without_gil([&] { return engine.delete_records(asked); }))) {
    answers.emplace_back(static_cast<int>(answer.error), answer.low_watermark);
  }
  return answers;
}

// Requires GIL to read the arguments, then releases it.
std::vector<int> alter_replica_log_dirs(
    Engine& engine, const std::vector<std::tuple<std::string, int32_t, std::string>>& assignments) {
  std::vector<dataplane::DirectoryAssignment> asked;
  asked.reserve(assignments.size());
  for (const auto& [topic, partition, path] : assignments) {
    asked.push_back({topic, partition, path});
  }
  std::vector<int> answers;
  for (const ErrorCode error :
       check(without_gil([&] { return engine.alter_replica_log_dirs(asked); }))) {
    answers.push_back(static_cast<int>(error));
  }
  return answers;
}

// Requires GIL to read the arguments, then releases it.
std::vector<std::pair<py::bytes, std::string>> finish_deletions(Engine& engine,
                                                                const py::sequence& topics) {
  std::vector<dataplane::DeletedTopic> deleted;
  deleted.reserve(topics.size());
  for (const py::handle item : topics) {
    const auto fields = to_fields(
        item, 4, "a deleted topic is (name, topic id, partition count, whether it has a namesake)");
    deleted.push_back({py::cast<std::string>(fields[0]), to_uuid(py::cast<py::bytes>(fields[1])),
                       py::cast<int32_t>(fields[2]), py::cast<bool>(fields[3])});
  }
  std::vector<std::pair<py::bytes, std::string>> failures;
  for (auto& failure : check(without_gil([&] { return engine.finish_deletions(deleted); }))) {
    failures.emplace_back(to_bytes(failure.topic_id.bytes), std::move(failure.message));
  }
  return failures;
}

void bind_directories(PyCore& core) {
  // Releases GIL, each.
  core.def(
      "open_directories",
      [](Engine& engine, const std::vector<std::string>& paths, const std::string& cluster_id,
         int32_t node_id) {
        return check(
            without_gil([&] { return engine.open_directories(paths, cluster_id, node_id); }));
      },
      py::arg("paths"), py::arg("cluster_id"), py::arg("node_id"));
  core.def(
      "make_directories",
      [](Engine& engine, const std::vector<std::pair<std::string, std::string>>& missing) {
        std::vector<dataplane::MissingDirectory> directories;
        directories.reserve(missing.size());
        for (const auto& [path, error] : missing) directories.push_back({path, error});
        return check(without_gil([&] { return engine.make_directories(directories); }));
      },
      py::arg("missing"));
  // Requires GIL: takes no lock.
  core.def("directory_states", [](Engine& engine) {
    std::vector<std::pair<std::string, bool>> states;
    for (auto& state : engine.directory_states()) {
      states.emplace_back(std::move(state.path), state.online);
    }
    return states;
  });
  core.def("list_partition_directories", [](Engine& engine) {
    py::list places;
    for (const auto& place :
         check(without_gil([&] { return engine.list_partition_directories(); }))) {
      py::object topic_id = py::none();
      if (place.topic_id) topic_id = to_bytes(place.topic_id->bytes);
      places.append(py::make_tuple(place.name.topic, place.name.partition, place.log_directory,
                                   std::move(topic_id)));
    }
    return places;
  });
  core.def(
      "set_aside_directory",
      [](Engine& engine, const std::string& log_directory, const std::string& topic,
         int32_t partition) {
        return check(without_gil([&] {
          return engine.set_aside_directory(log_directory, {topic, partition});
        }));
      },
      py::arg("log_directory"), py::arg("topic"), py::arg("partition"));
  core.def("finish_deletions", &finish_deletions, py::arg("topics"));
  core.def(
      "fork",
      [](Engine& engine, const std::vector<std::string>& paths, bool durable) {
        check(without_gil([&] { return engine.fork(paths, durable); }));
      },
      py::arg("paths"), py::arg("durable"));
  core.def("alter_replica_log_dirs", &alter_replica_log_dirs, py::arg("assignments"));
  core.def("load_partitions", &load_partitions, py::arg("partitions"), py::arg("configs"));
}

void bind_network(PyCore& core) {
  // Releases GIL, each.
  core.def(
      "listen",
      [](Engine& engine, const std::string& host, uint16_t port) {
        return check(without_gil([&] { return engine.listen(host, port); }));
      },
      py::arg("host"), py::arg("port"));
  core.def("start", [](Engine& engine) { check(without_gil([&] { return engine.start(); })); });
  core.def(
      "stop",
      [](Engine& engine, int64_t grace_ms, bool close_logs) {
        using dataplane::LogsAtStop;
        const LogsAtStop logs = close_logs ? LogsAtStop::kClosed : LogsAtStop::kLeft;
        const Status stopped = without_gil([&] { return engine.stop(grace_ms, logs); });
        flush_log_lines();
        check(stopped);
      },
      py::arg("grace_ms"), py::arg("close_logs") = true);
}

void bind_control(PyCore& core) {
  // Requires GIL.
  core.def("control_fd", &Engine::control_fd);
  // Requires GIL: takes what is queued and never waits.
  core.def("take_requests", &Engine::take_requests, py::arg("limit"));
  // Releases GIL: a respond may take a lock that a reactor holds.
  core.def("respond_many", &respond_many, py::arg("answers"));
  core.def(
      "close_connection",
      [](Engine& engine, uint64_t token) { without_gil([&] { engine.close_connection(token); }); },
      py::arg("token"));
}

using dataplane::TopicChange;
using ChangeHolder = std::unique_ptr<TopicChange, DeleteWithoutGil>;

// Releases GIL while `begin` runs.
template <class Begin>
ChangeHolder begin_change(Begin&& begin) {
  return ChangeHolder(check(without_gil(std::forward<Begin>(begin))).release());
}

void bind_topic_changes(py::module_& module, PyCore& core) {
  constexpr int64_t kSeveral = -1;
  py::class_<TopicChange, ChangeHolder>(module, "TopicChange")
      // Requires GIL.
      .def("next_directory",
           [](const TopicChange& change) -> std::optional<int64_t> {
             const auto directory = change.next_directory();
             if (!directory) return std::nullopt;
             return *directory == TopicChange::kSeveral ? kSeveral
                                                        : static_cast<int64_t>(*directory);
           })
      // Releases GIL.
      .def("step", [](TopicChange& change) { check(without_gil([&] { return change.step(); })); });
  core.def(
      "begin_creation",
      [](Engine& engine, const std::string& topic, const py::bytes& topic_id,
         const std::vector<std::pair<int32_t, int32_t>>& partitions, const py::object& config) {
        const Uuid id = to_uuid(topic_id);
        const auto settings = to_settings(config);
        return begin_change([&] { return engine.begin_creation(topic, id, partitions, settings); });
      },
      py::arg("topic"), py::arg("topic_id"), py::arg("partitions"), py::arg("config"),
      py::keep_alive<0, 1>());
  core.def(
      "begin_deletion",
      [](Engine& engine, const std::string& topic) {
        return begin_change([&] { return engine.begin_deletion(topic); });
      },
      py::arg("topic"), py::keep_alive<0, 1>());
}

void bind_topics(PyCore& core) {
  // Releases GIL, each.
  core.def(
      "set_topic_config",
      [](Engine& engine, const std::string& topic, const py::object& config) {
        const auto settings = to_settings(config);
        check(without_gil([&] { return engine.set_topic_config(topic, settings); }));
      },
      py::arg("topic"), py::arg("config"));
  core.def(
      "set_broker_config",
      [](Engine& engine, const py::object& config) {
        const auto settings = to_settings(config);
        check(without_gil([&] { return engine.set_broker_config(settings); }));
      },
      py::arg("settings"));
}

void bind_request_faults(py::module_& module, PyCore& core) {
  using dataplane::RequestEffect;
  py::enum_<RequestEffect>(module, "RequestEffect")
      .value("FAIL", RequestEffect::kFail)
      .value("DROP_BEFORE", RequestEffect::kDropBefore)
      .value("DROP_AFTER", RequestEffect::kDropAfter)
      .value("DISCONNECT_BEFORE", RequestEffect::kDisconnectBefore)
      .value("DISCONNECT_AFTER", RequestEffect::kDisconnectAfter)
      .value("DELAY", RequestEffect::kDelay);
  // Releases GIL: locks that reactors hold.
  core.def(
      "add_request_fault",
      [](Engine& engine, int16_t api_key, RequestEffect effect, int64_t value,
         std::optional<std::string> client_id, std::optional<uint16_t> peer_port, uint64_t times) {
        return without_gil([&] {
          return engine.add_request_fault(
              {api_key, effect, value, std::move(client_id), peer_port, times});
        });
      },
      py::arg("api_key"), py::arg("effect"), py::arg("value"), py::arg("client_id"),
      py::arg("peer_port"), py::arg("times"));
  core.def("remove_request_fault", [](Engine& engine, uint64_t id) {
    without_gil([&] { engine.remove_request_fault(id); });
  });
  core.def("count_request_fault", [](Engine& engine, uint64_t id) {
    return without_gil([&] { return engine.count_request_fault(id); });
  });
}

void bind_offsets(PyCore& core) {
  // Releases GIL, each.
  core.def(
      "offset_for_timestamp",
      [](Engine& engine, const std::string& topic, int32_t partition, int64_t timestamp_ms) {
        return to_tuple(check(without_gil(
            [&] { return engine.offset_for_timestamp(topic, partition, timestamp_ms); })));
      },
      py::arg("topic"), py::arg("partition"), py::arg("timestamp_ms"));
  core.def(
      "max_timestamp_offset",
      [](Engine& engine, const std::string& topic, int32_t partition) {
        return to_tuple(
            check(without_gil([&] { return engine.max_timestamp_offset(topic, partition); })));
      },
      py::arg("topic"), py::arg("partition"));
  core.def(
      "epoch_for_offset",
      [](Engine& engine, const std::string& topic, int32_t partition, int64_t offset) {
        return check(
            without_gil([&] { return engine.epoch_for_offset(topic, partition, offset); }));
      },
      py::arg("topic"), py::arg("partition"), py::arg("offset"));
  core.def(
      "end_offset_for_epoch",
      [](Engine& engine, const std::string& topic, int32_t partition, int32_t leader_epoch) {
        const auto end = check(without_gil(
            [&] { return engine.end_offset_for_epoch(topic, partition, leader_epoch); }));
        return std::make_tuple(end.leader_epoch, end.end_offset);
      },
      py::arg("topic"), py::arg("partition"), py::arg("leader_epoch"));
}

void bind_partitions(PyCore& core) {
  // Releases GIL, each.
  core.def(
      "partition_info",
      [](Engine& engine, const std::string& topic, int32_t partition) {
        return check(without_gil([&] { return engine.partition_info(topic, partition); }));
      },
      py::arg("topic"), py::arg("partition"));
  core.def("partition_infos",
           [](Engine& engine) { return without_gil([&] { return engine.partition_infos(); }); });
  core.def("append_all", &append_all, py::arg("appends"), py::arg("on_late"));
  core.def("mark_verified", &mark_verified, py::arg("producer_id"), py::arg("producer_epoch"),
           py::arg("transactional_id"), py::arg("partitions"));
  core.def(
      "producers",
      [](Engine& engine, const std::string& topic, int32_t partition) {
        return check(without_gil([&] { return engine.producers(topic, partition); }));
      },
      py::arg("topic"), py::arg("partition"));
  core.def(
      "read_batches",
      [](Engine& engine, const std::string& topic, int32_t partition, int64_t offset,
         size_t max_bytes) {
        const auto read = [&]() -> Result<dataplane::Fetched> {
          BARNABAS_ASSIGN(auto fetched, engine.fetch(topic, partition, offset, max_bytes, false));
          BARNABAS_TRY(dataplane::check_crcs(fetched));
          return fetched;
        };
        const dataplane::Fetched fetched = check(without_gil(read));
        return to_bytes({fetched.bytes.data(), fetched.bytes.size()});
      },
      py::arg("topic"), py::arg("partition"), py::arg("offset"), py::arg("max_bytes"));
  core.def("delete_records", &delete_records, py::arg("deletions"));
  core.def("stats", [](Engine& engine) {
    py::dict stats;
    for (const auto& [name, value] : without_gil([&] { return engine.stats(); })) {
      stats[py::str(name)] = value;
    }
    return stats;
  });
}

}  // namespace

void bind_core(py::module_& module) {
  PyCore core(module, "Core", "The data plane of one broker.");
  core.def(py::init([](const py::object& settings, VirtualClock* clock) {
             Clock& time = clock == nullptr ? system_clock() : *clock;
             return EngineHolder(check(Engine::create(to_settings(settings), time)).release());
           }),
           py::arg("settings"), py::arg("clock") = py::none(), py::keep_alive<1, 3>());
  // Requires GIL.
  core.def("now_ms", &Engine::now_ms);
  core.def("steady_ms", &Engine::steady_ms);
  // Releases GIL.
  core.def("run_due", [](Engine& engine) { without_gil([&] { engine.run_due(); }); });
  // Requires GIL. For `_sender` and `_reader`, which keep the Core as long as they use it.
  core.def("_engine",
           [](Engine& engine) { return py::capsule(static_cast<void*>(&engine), kEngineCapsule); });
  bind_directories(core);
  bind_network(core);
  bind_control(core);
  bind_topics(core);
  bind_topic_changes(module, core);
  bind_partitions(core);
  bind_offsets(core);
  bind_request_faults(module, core);
}

}  // namespace barnabas::bindings
