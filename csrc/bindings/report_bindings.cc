// The plain values that Core and Log return.
#include <pybind11/stl.h>

#include "bindings/bindings.h"
#include "bindings/convert.h"
#include "dataplane/control_request.h"
#include "dataplane/directory_info.h"
#include "dataplane/partition_info.h"

namespace barnabas::bindings {

using dataplane::ControlRequest;
using dataplane::DirectoryIdentity;
using dataplane::LoadReport;
using dataplane::PartitionInfo;

namespace {

void bind_recovery(py::module_& module) {
  py::class_<LoadReport>(module, "RecoveryReport")
      .def_readonly("topic", &LoadReport::topic)
      .def_readonly("partition", &LoadReport::partition)
      .def_readonly("error", &LoadReport::error)
      .def_property_readonly("checked", [](const LoadReport& r) { return r.recovery.checked; })
      .def_property_readonly("bytes_checked",
                             [](const LoadReport& r) { return r.recovery.bytes_checked; })
      .def_property_readonly("bytes_cut", [](const LoadReport& r) { return r.recovery.bytes_cut; })
      .def_property_readonly("bytes_set_aside",
                             [](const LoadReport& r) { return r.recovery.bytes_set_aside; })
      .def_property_readonly("set_aside_path",
                             [](const LoadReport& r) { return r.recovery.set_aside_path; })
      .def_property_readonly("reason", [](const LoadReport& r) { return r.recovery.reason; })
      .def_property_readonly("log_end_offset",
                             [](const LoadReport& r) { return r.recovery.log_end_offset; });
}

// Client ids are any bytes on the wire; what is not UTF-8 must not make a request unanswerable.
py::object client_id_text(const ControlRequest& request) {
  if (!request.client_id.has_value()) return py::none();
  return py::reinterpret_steal<py::object>(PyUnicode_DecodeUTF8(
      request.client_id->data(), static_cast<Py_ssize_t>(request.client_id->size()), "replace"));
}

}  // namespace

void bind_reports(py::module_& module) {
  bind_recovery(module);

  py::class_<DirectoryIdentity>(module, "DirectoryIdentity")
      .def_readonly("path", &DirectoryIdentity::path)
      .def_readonly("cluster_id", &DirectoryIdentity::cluster_id)
      .def_readonly("node_id", &DirectoryIdentity::node_id)
      .def_readonly("directory_id", &DirectoryIdentity::directory_id)
      .def_readonly("was_clean", &DirectoryIdentity::was_clean)
      .def_readonly("error", &DirectoryIdentity::error)
      .def_readonly("is_new", &DirectoryIdentity::is_new);

  py::class_<PartitionInfo>(module, "PartitionInfo")
      .def_readonly("topic", &PartitionInfo::topic)
      .def_readonly("partition", &PartitionInfo::partition)
      .def_readonly("leader_epoch", &PartitionInfo::leader_epoch)
      .def_readonly("log_start_offset", &PartitionInfo::log_start_offset)
      .def_readonly("high_watermark", &PartitionInfo::high_watermark)
      .def_readonly("last_stable_offset", &PartitionInfo::last_stable_offset)
      .def_readonly("log_end_offset", &PartitionInfo::log_end_offset)
      .def_readonly("size_bytes", &PartitionInfo::size_bytes)
      .def_readonly("segment_count", &PartitionInfo::segment_count)
      .def_readonly("offline", &PartitionInfo::offline)
      .def_readonly("directory", &PartitionInfo::directory)
      .def_readonly("is_future", &PartitionInfo::is_future)
      .def_readonly("offset_lag", &PartitionInfo::offset_lag);

  py::class_<storage::ProducerInfo>(module, "ProducerInfo")
      .def_readonly("producer_id", &storage::ProducerInfo::producer_id)
      .def_readonly("producer_epoch", &storage::ProducerInfo::producer_epoch)
      .def_readonly("last_sequence", &storage::ProducerInfo::last_sequence)
      .def_readonly("last_timestamp", &storage::ProducerInfo::last_timestamp)
      .def_readonly("coordinator_epoch", &storage::ProducerInfo::coordinator_epoch)
      .def_readonly("current_txn_start_offset", &storage::ProducerInfo::current_txn_start_offset);

  py::class_<ControlRequest>(module, "ControlRequest")
      .def_readonly("token", &ControlRequest::token)
      .def_readonly("api_key", &ControlRequest::api_key)
      .def_readonly("api_version", &ControlRequest::api_version)
      .def_readonly("correlation_id", &ControlRequest::correlation_id)
      .def_property_readonly("client_id", &client_id_text)
      .def_readonly("peer_host", &ControlRequest::peer_host)
      .def_readonly("fault", &ControlRequest::fault)
      .def_property_readonly("body", [](const ControlRequest& r) { return to_bytes(r.body); });
}

}  // namespace barnabas::bindings
