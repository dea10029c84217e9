// Forwards the native core's log lines to a Python callable, from a thread of its own: no other
// native thread waits for the GIL, or for what the callable writes to.
#include <memory>
#include <utility>

#include "base/log_thread.h"
#include "base/logger.h"
#include "bindings/bindings.h"
#include "bindings/gil.h"

namespace barnabas::bindings {
namespace {

// Guarded by the GIL. Never destroyed: native threads may log while the process ends.
std::shared_ptr<LogThread>& installed() {
  static auto* const thread = new std::shared_ptr<LogThread>;
  return *thread;
}

// Releases GIL, which the callable needs to take the last lines.
void replace(std::shared_ptr<LogThread> next) {
  const auto previous = std::exchange(installed(), next);
  without_gil([&] {
    if (next == nullptr) {
      set_log_sink(nullptr);
    } else {
      set_log_sink([next](LogLevel level, std::string_view component, std::string_view message) {
        next->log(level, component, message);
      });
    }
    if (previous != nullptr) previous->stop();
  });
}

// Requires GIL.
void set_python_sink(const py::object& sink) {
  if (sink.is_none()) return replace(nullptr);
  const SharedCallable callable(py::cast<py::function>(sink));
  replace(LogThread::create(
      [callable](LogLevel level, std::string_view component, std::string_view message) {
        callable(static_cast<int>(level), std::string(component), std::string(message));
      }));
}

}  // namespace

void flush_log_lines() {
  const auto thread = installed();
  if (thread != nullptr) without_gil([&] { thread->flush(); });
}

void bind_log_sink(py::module_& module) {
  // Releases GIL, each.
  module.def("set_log_sink", &set_python_sink, py::arg("sink").none(true));
  // While Python can still take them.
  py::module_::import("atexit").attr("register")(py::cpp_function([] { replace(nullptr); }));
}

}  // namespace barnabas::bindings
