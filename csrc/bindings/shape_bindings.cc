// The check that a request's message has the shape of its schema.
#include <pybind11/stl.h>

#include <optional>
#include <string_view>

#include "bindings/bindings.h"
#include "net/message_shape.h"

namespace barnabas::bindings {

namespace py = pybind11;

void bind_shape(py::module_& module) {
  // Keeps the GIL: a check takes less than giving it up.
  module.def(
      "shape_mismatch",
      [](const py::bytes& shape, const py::bytes& message) -> std::optional<std::string_view> {
        const char* const reason = net::shape_mismatch(as_bytes(std::string_view(shape)),
                                                       as_bytes(std::string_view(message)));
        if (reason == nullptr) return std::nullopt;
        return reason;
      },
      py::arg("shape"), py::arg("message"));
}

}  // namespace barnabas::bindings
