// What native threads do to Python objects of `_sender`.
#pragma once

#include <Python.h>

#include <functional>

#include "bindings/python_gate.h"

namespace barnabas::bindings {

/// Calls `callable` with the GIL held, on whatever thread; to be called once. It is leaked when the
/// interpreter ends before that. Requires GIL.
inline std::function<void()> python_call(PyObject* callable) {
  Py_INCREF(callable);
  return [callable] {
    const PythonGate::Pass pass;
    if (!pass) return;
    const PyGILState_STATE state = PyGILState_Ensure();
    PyObject* const result = PyObject_CallNoArgs(callable);
    if (result == nullptr) PyErr_WriteUnraisable(callable);
    Py_XDECREF(result);
    Py_DECREF(callable);
    PyGILState_Release(state);
  };
}

}  // namespace barnabas::bindings
