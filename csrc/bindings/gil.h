// The GIL, dealt with in this directory alone.
//
// Every bound function says "Releases GIL" (may wait for a disk, a thread or a lock) or
// "Requires GIL" (touches Python objects, never waits).
#pragma once

#include <pybind11/functional.h>
#include <pybind11/pybind11.h>

#include <memory>
#include <utility>

#include "base/process_mark.h"
#include "bindings/python_gate.h"

namespace barnabas::bindings {

namespace py = pybind11;

/// Runs `work` without the GIL. REQUIRES: the GIL is held; `work` touches no Python object.
template <class Work>
auto without_gil(Work&& work) {
  py::gil_scoped_release release;
  return std::forward<Work>(work)();
}

/// Deletes what waits for native threads when it goes: these may need the GIL to come to an end. In
/// a forked child there are none, and what it would write is the parent's: there it is leaked.
struct DeleteWithoutGil {
  ProcessMark made_in;

  // Releases GIL.
  template <class T>
  void operator()(T* object) const {
    if (!made_in.is_here()) return;
    py::gil_scoped_release release;
    delete object;
  }
};

/// A Python callable that native threads may copy, call and drop: the reference is given back with
/// the GIL held, or leaked when the interpreter ends (PythonGate).
class SharedCallable {
 public:
  // Requires GIL.
  explicit SharedCallable(py::function callable)
      : callable_(new py::function(std::move(callable)), Release{}) {}

  /// Calls it with the GIL held. An exception is printed as unraisable; a dead interpreter is left
  /// alone. Any thread.
  template <class... Args>
  void operator()(Args&&... args) const {
    const PythonGate::Pass pass;
    if (!pass) return;
    py::gil_scoped_acquire acquire;
    try {
      (*callable_)(std::forward<Args>(args)...);
    } catch (py::error_already_set& error) {
      error.discard_as_unraisable("barnabas._core callback");
    }
  }

 private:
  struct Release {
    void operator()(py::function* callable) const {
      const PythonGate::Pass pass;
      if (!pass) return;
      py::gil_scoped_acquire acquire;
      delete callable;
    }
  };

  std::shared_ptr<py::function> callable_;
};

}  // namespace barnabas::bindings
