// Errors into exceptions, Python values into the data plane's: one place for both.
//
// Everything here requires the GIL.
#pragma once

#include <pybind11/pybind11.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/uuid.h"
#include "dataplane/coordinator_append.h"
#include "dataplane/settings.h"

namespace barnabas::bindings {

namespace py = pybind11;

/// Creates CoreError in the module. Called once.
void register_core_error(py::module_& module);

/// Raises `error` as CoreError with `.code` and `.errno`.
[[noreturn]] void raise_core_error(const Error& error);

inline void check(const Status& status) {
  if (!status.ok()) raise_core_error(status.error());
}

template <class T>
T check(Result<T>&& result) {
  if (!result.ok()) raise_core_error(result.error());
  return std::move(result).value();
}

/// A mapping of Kafka keys to int, bool or str. TypeError names the key of any other value.
dataplane::SettingMap to_settings(const py::handle& mapping);

/// 16 bytes. ValueError otherwise.
Uuid to_uuid(const py::bytes& bytes);

/// The records of an append: tuples of key and value. Borrows from the tuple, which holds them.
std::vector<dataplane::KeyValueView> to_records(const py::tuple& records);

/// A view of the bytes object, valid while it lives.
ByteView view_of(const py::handle& bytes);

inline py::bytes to_bytes(ByteView bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace barnabas::bindings
