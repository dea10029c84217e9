#include "bindings/convert.h"

#include <algorithm>

namespace barnabas::bindings {
namespace {

PyObject* core_error_type = nullptr;  // owned by the module, which is never unloaded

std::optional<ByteView> optional_view(const py::handle& value) {
  if (value.is_none()) return std::nullopt;
  return view_of(value);
}

}  // namespace

void register_core_error(py::module_& module) {
  const py::object base = py::module_::import("barnabas.errors").attr("BarnabasError");
  core_error_type = PyErr_NewExceptionWithDoc(
      "barnabas._core.CoreError",
      "An error of the native core: .code is Kafka's error code (-1: none), .errno the system's.",
      base.ptr(), nullptr);
  if (core_error_type == nullptr) throw py::error_already_set();
  module.add_object("CoreError", py::reinterpret_borrow<py::object>(core_error_type));
}

void raise_core_error(const Error& error) {
  py::object instance = py::reinterpret_borrow<py::object>(core_error_type)(py::str(error.message));
  instance.attr("code") = static_cast<int>(error.code);
  instance.attr("errno") = error.sys_errno;
  PyErr_SetObject(core_error_type, instance.ptr());
  throw py::error_already_set();
}

dataplane::SettingMap to_settings(const py::handle& mapping) {
  dataplane::SettingMap settings;
  for (const py::handle item : mapping.attr("items")()) {
    const auto pair = py::cast<py::tuple>(item);
    auto key = py::cast<std::string>(pair[0]);
    const py::object value = pair[1];
    if (py::isinstance<py::bool_>(value)) {
      settings.insert_or_assign(std::move(key), py::cast<bool>(value));
    } else if (py::isinstance<py::int_>(value)) {
      settings.insert_or_assign(std::move(key), py::cast<int64_t>(value));
    } else if (py::isinstance<py::str>(value)) {
      settings.insert_or_assign(std::move(key), py::cast<std::string>(value));
    } else {
      throw py::type_error(key + ": expected int, bool or str");
    }
  }
  return settings;
}

Uuid to_uuid(const py::bytes& bytes) {
  const ByteView view = view_of(bytes);
  Uuid id;
  if (view.size() != id.bytes.size()) throw py::value_error("a topic id has 16 bytes");
  std::copy(view.begin(), view.end(), id.bytes.begin());
  return id;
}

std::vector<dataplane::KeyValueView> to_records(const py::tuple& records) {
  std::vector<dataplane::KeyValueView> views;
  views.reserve(records.size());
  for (const py::handle item : records) {
    if (!py::isinstance<py::tuple>(item) || py::len(item) != 2) {
      throw py::value_error("a record is a (key, value) tuple");
    }
    const auto pair = py::reinterpret_borrow<py::tuple>(item);
    views.emplace_back(optional_view(pair[0]), optional_view(pair[1]));
  }
  return views;
}

std::string_view text_of(const py::handle& text) {
  Py_ssize_t size = 0;
  const char* const data = PyUnicode_AsUTF8AndSize(text.ptr(), &size);
  if (data == nullptr) throw py::error_already_set();
  return {data, static_cast<size_t>(size)};
}

ByteView view_of(const py::handle& bytes) {
  char* data = nullptr;
  Py_ssize_t size = 0;
  if (PyBytes_AsStringAndSize(bytes.ptr(), &data, &size) != 0) throw py::error_already_set();
  return {reinterpret_cast<const uint8_t*>(data), static_cast<size_t>(size)};
}

}  // namespace barnabas::bindings
