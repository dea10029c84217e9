// `VirtualClock`: the clock that a test moves.
#include <memory>

#include "base/virtual_clock.h"
#include "bindings/bindings.h"

namespace barnabas::bindings {

namespace py = pybind11;

void bind_clock(py::module_& module) {
  // Keeps GIL, as nothing waits. A Core shares it.
  py::class_<VirtualClock, std::shared_ptr<VirtualClock>>(module, "VirtualClock")
      .def(py::init<int64_t>(), py::arg("wall_ns"))
      .def("wall_ms", &VirtualClock::wall_ms)
      .def("ahead_ns", &VirtualClock::ahead_ns)
      .def("advance", &VirtualClock::advance, py::arg("by_ns"))
      .def("step", &VirtualClock::step, py::arg("by_ns"));
}

}  // namespace barnabas::bindings
