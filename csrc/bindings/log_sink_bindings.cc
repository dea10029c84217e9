// Forwards the native core's log lines to a Python callable.
#include "base/logger.h"
#include "bindings/bindings.h"
#include "bindings/gil.h"

namespace barnabas::bindings {

void bind_log_sink(py::module_& module) {
  // Requires GIL. The sink itself is called with the GIL, from any native thread.
  module.def(
      "set_log_sink",
      [](const py::object& sink) {
        if (sink.is_none()) {
          set_log_sink(nullptr);
          return;
        }
        const SharedCallable callable(py::cast<py::function>(sink));
        set_log_sink(
            [callable](LogLevel level, std::string_view component, std::string_view message) {
              callable(static_cast<int>(level), std::string(component), std::string(message));
            });
      },
      py::arg("sink").none(true));
}

}  // namespace barnabas::bindings
