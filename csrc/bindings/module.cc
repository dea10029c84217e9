// The extension module barnabas._core: the only native code that knows Python.
#include "bindings/bindings.h"
#include "bindings/convert.h"

PYBIND11_MODULE(_core, module) {
  using namespace barnabas::bindings;
  module.doc() = "The native core: sockets, Produce and Fetch, the partition logs.";
  module.attr("__version__") = BARNABAS_VERSION;
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
