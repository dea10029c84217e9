// `Log`: the bare segment log. Semantics are in _core.pyi.
#include <pybind11/stl.h>

#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "base/process_mark.h"
#include "bindings/bindings.h"
#include "bindings/convert.h"
#include "bindings/gil.h"
#include "dataplane/partition_info.h"
#include "dataplane/settings.h"
#include "record/validate.h"
#include "storage/bare_log.h"
#include "storage/cleaner.h"

namespace barnabas::bindings {
namespace {

using storage::BareLog;

/// A BareLog with the configuration that appends are checked against.
struct PyLog {
  std::unique_ptr<BareLog> bare;
  storage::LogConfig config;
  ProcessMark made_in{};

  // Raises once closed, instead of touching closed files, and in a forked child: the files, and the
  // lock on them, are the parent's too.
  [[nodiscard]] storage::Log& open_log() const {
    if (!made_in.is_here()) {
      throw py::value_error("the log is open in the process that this one was forked from");
    }
    if (bare->closed()) throw py::value_error("the log is closed");
    return bare->log();
  }
  [[nodiscard]] storage::Log& writable_log() const {
    if (bare->read_only()) throw py::value_error("the log was opened read-only");
    return open_log();
  }
};

using PyLogHolder = std::unique_ptr<PyLog, DeleteWithoutGil>;
using PyLogClass = py::class_<PyLog, PyLogHolder>;

Result<int64_t> append_validated(storage::Log& log, const storage::LogConfig& config,
                                 std::vector<uint8_t> bytes) {
  const int64_t now_ms = system_clock().wall_ms();
  auto checked = record::validate_batch(bytes, dataplane::validation_policy(config), now_ms);
  if (auto* failure = std::get_if<record::ValidationFailure>(&checked)) {
    return std::move(failure->error);
  }
  auto& batch = std::get<record::ValidatedBatch>(checked);
  const storage::AppendBatch append{batch.bytes};
  const int32_t leader_epoch = std::max(log.latest_epoch(), 0);
  BARNABAS_ASSIGN(const storage::AppendInfo info, log.append(append, leader_epoch));
  return info.base_offset;
}

Result<std::vector<uint8_t>> read_batches(storage::Log& log, int64_t offset, size_t max_bytes) {
  BARNABAS_ASSIGN(const storage::ReadSlice slice,
                  log.read(offset, max_bytes, log.log_end_offset(), true));
  std::vector<uint8_t> bytes(slice.file.length);
  if (bytes.empty()) return bytes;
  BARNABAS_ASSIGN(const size_t got,
                  read_at(slice.file.file->get(), bytes, slice.file.position, slice.path));
  bytes.resize(got);
  return bytes;
}

// Requires GIL to read the arguments, then releases it.
PyLogHolder open_log(const std::string& path, const py::object& config, bool read_only) {
  const auto log_config = check(dataplane::parse_log_config(to_settings(config)));
  auto bare = check(without_gil([&] { return BareLog::open(path, log_config, read_only); }));
  return PyLogHolder(new PyLog{std::move(bare), log_config});
}

void bind_writing(PyLogClass& log) {
  // Releases GIL, each.
  log.def(
      "append_batch",
      [](const PyLog& self, const py::bytes& batch) {
        const ByteView view = view_of(batch);
        std::vector<uint8_t> copy(view.begin(), view.end());
        storage::Log& target = self.writable_log();
        return check(
            without_gil([&] { return append_validated(target, self.config, std::move(copy)); }));
      },
      py::arg("batch"));
  log.def(
      "truncate",
      [](const PyLog& self, int64_t offset) {
        storage::Log& target = self.writable_log();
        check(without_gil([&] { return target.truncate_to(offset); }));
      },
      py::arg("offset"));
  log.def("flush", [](const PyLog& self) {
    storage::Log& target = self.writable_log();
    return check(without_gil([&] { return target.flush(); }));
  });
  log.def("roll", [](const PyLog& self) {
    storage::Log& target = self.writable_log();
    check(without_gil([&] { return target.roll(); }));
  });
  log.def(
      "compact",
      [](const PyLog& self, size_t dedupe_buffer_bytes) {
        storage::Log& target = self.writable_log();
        storage::CleanSettings settings;
        settings.dedupe_buffer_bytes = dedupe_buffer_bytes;
        const auto done =
            check(without_gil([&] { return target.clean(target.log_end_offset(), settings); }));
        return std::make_tuple(done.end_offset, done.records_read, done.records_kept);
      },
      py::arg("dedupe_buffer_bytes"));
  log.def("close", [](const PyLog& self) {
    if (self.made_in.is_here()) check(without_gil([&] { return self.bare->close(); }));
  });
}

void bind_reading(PyLogClass& log) {
  // Releases GIL, each.
  log.def(
      "read_batches",
      [](const PyLog& self, int64_t offset, size_t max_bytes) {
        storage::Log& source = self.open_log();
        return to_bytes(
            check(without_gil([&] { return read_batches(source, offset, max_bytes); })));
      },
      py::arg("offset"), py::arg("max_bytes"));
  log.def(
      "offset_for_timestamp",
      [](const PyLog& self, int64_t timestamp_ms) {
        storage::Log& source = self.open_log();
        const auto found =
            check(without_gil([&] { return source.offset_for_timestamp(timestamp_ms); }));
        return std::make_tuple(found.timestamp, found.offset, found.leader_epoch);
      },
      py::arg("timestamp_ms"));
  // Requires GIL, each: plain reads of state.
  log.def_property_readonly("log_start_offset",
                            [](const PyLog& self) { return self.open_log().log_start_offset(); });
  log.def_property_readonly("log_end_offset",
                            [](const PyLog& self) { return self.open_log().log_end_offset(); });
  log.def_property_readonly("size_bytes",
                            [](const PyLog& self) { return self.open_log().size_bytes(); });
  log.def_property_readonly("segment_count",
                            [](const PyLog& self) { return self.open_log().segment_count(); });
  log.def_property_readonly("max_message_bytes",
                            [](const PyLog& self) { return self.config.max_message_bytes; });
  log.def_property_readonly("recovery", [](const PyLog& self) {
    return dataplane::LoadReport{self.bare->name().topic, self.bare->name().partition,
                                 self.bare->log().recovery_report(), ""};
  });
}

}  // namespace

void bind_log(py::module_& module) {
  PyLogClass log(module, "Log", "The bare segment log of one directory, no broker.");
  log.def(py::init(&open_log), py::arg("path"), py::arg("config") = py::dict(),
          py::arg("read_only") = false);
  bind_writing(log);
  bind_reading(log);
}

}  // namespace barnabas::bindings
