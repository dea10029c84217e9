// The extension module barnabas._core: the only native code that knows Python.
#include "bindings/bindings.h"
#include "bindings/convert.h"
#include "bindings/gil.h"

PYBIND11_MODULE(_core, module) {
  using namespace barnabas::bindings;
  module.doc() = "The native core: sockets, Produce and Fetch, the partition logs.";
  module.attr("__version__") = BARNABAS_VERSION;
  // First: of what is registered for the exit, the last comes first, and may need Python's ears.
  py::module_::import("atexit").attr("register")(
      py::cpp_function([] { PythonGate::of_module().close(); }));
  register_core_error(module);
  bind_reports(module);
  bind_clock(module);
  bind_core(module);
  bind_log(module);
  bind_record(module);
  bind_shape(module);
  bind_log_sink(module);
  bind_loadgen(module);
  bind_faults(module);
}
