// The parts of the `_core` module, one function each.
#pragma once

#include <pybind11/pybind11.h>

namespace barnabas::bindings {

void bind_clock(pybind11::module_& module);
void bind_core(pybind11::module_& module);
void bind_log(pybind11::module_& module);
void bind_record(pybind11::module_& module);
void bind_reports(pybind11::module_& module);
void bind_shape(pybind11::module_& module);
void bind_log_sink(pybind11::module_& module);
void bind_loadgen(pybind11::module_& module);
void bind_faults(pybind11::module_& module);

/// Waits until the Python sink has the log lines so far. Requires the GIL, releases it.
void flush_log_lines();

}  // namespace barnabas::bindings
