// Faults of the file system, for barnabas.testing.faults.
#include <pybind11/stl.h>

#include <string>
#include <utility>
#include <vector>

#include "base/faulty_file_system.h"
#include "bindings/bindings.h"

namespace barnabas::bindings {
namespace {

namespace py = pybind11;

// Keeps GIL, as the others do: nothing waits.
uint64_t add_fault(FileCall call, std::vector<std::string> patterns, FaultEffect effect,
                   int64_t value, uint64_t nth, uint64_t times) {
  return FaultyFileSystem::instance().add({call, std::move(patterns), effect, value, nth, times});
}

std::pair<uint64_t, uint64_t> count_fault(uint64_t id) {
  const auto count = FaultyFileSystem::instance().count(id);
  return {count.matched, count.struck};
}

}  // namespace

void bind_faults(py::module_& module) {
  py::enum_<FileCall>(module, "FileCall")
      .value("OPEN", FileCall::kOpen)
      .value("WRITE", FileCall::kWrite)
      .value("READ", FileCall::kRead)
      .value("SEND", FileCall::kSend)
      .value("TRUNCATE", FileCall::kTruncate)
      .value("SYNC", FileCall::kSync)
      .value("RENAME", FileCall::kRename)
      .value("UNLINK", FileCall::kUnlink)
      .value("MAKE_DIRECTORY", FileCall::kMakeDirectory)
      .value("LINK", FileCall::kLink)
      .value("COPY", FileCall::kCopy);
  py::enum_<FaultEffect>(module, "FaultEffect")
      .value("FAIL", FaultEffect::kFail)
      .value("SHORT", FaultEffect::kShort)
      .value("TEAR", FaultEffect::kTear)
      .value("DELAY", FaultEffect::kDelay)
      .value("HOLD", FaultEffect::kHold)
      .value("KILL_BEFORE", FaultEffect::kKillBefore)
      .value("KILL_AFTER", FaultEffect::kKillAfter);
  module.def("add_fault", &add_fault, py::arg("call"), py::arg("patterns"), py::arg("effect"),
             py::arg("value"), py::arg("nth"), py::arg("times"));
  module.def(
      "remove_fault", [](uint64_t id) { FaultyFileSystem::instance().remove(id); }, py::arg("id"));
  module.def("count_fault", &count_fault, py::arg("id"));
}

}  // namespace barnabas::bindings
