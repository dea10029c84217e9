// The way of native threads into Python, which closes before the interpreter ends: a thread that
// waits for the GIL then is ended where it stands, in the middle of whatever it does.
//
// Thread-safety: every method may be called from any thread.
#pragma once

#include <Python.h>
#include <pthread.h>

#include "base/thread_annotations.h"

namespace barnabas::bindings {

class PythonGate {
 public:
  /// That of the extension module this is compiled into. Never destroyed: native threads may come
  /// while the process ends. A forked child has one of its own: who is inside is the parent's.
  static PythonGate& of_module() {
    static const int registered = ::pthread_atfork(nullptr, nullptr, [] { renew(); });
    (void)registered;
    return *slot();
  }

  /// The right to take the GIL, as long as it lives; none once the gate is closed.
  class Pass {
   public:
    Pass() : gate_(of_module()), granted_(gate_.enter()) {}
    ~Pass() {
      if (granted_) gate_.leave();
    }
    Pass(const Pass&) = delete;
    Pass& operator=(const Pass&) = delete;
    explicit operator bool() const { return granted_; }

   private:
    PythonGate& gate_;
    const bool granted_;
  };

  /// Nobody comes in any more; waits until those that have a pass are done. Releases GIL, which
  /// they need for that. For atexit.
  void close() {
    PyThreadState* const state = PyEval_SaveThread();
    {
      MutexLock lock(mutex_);
      closed_ = true;
      while (inside_ > 0) left_.wait(mutex_);
    }
    PyEval_RestoreThread(state);
  }

 private:
  static PythonGate*& slot() {
    static auto* gate = new PythonGate;
    return gate;
  }
  static void renew() { slot() = new PythonGate; }

  bool enter() EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    if (!closed_) ++inside_;
    return !closed_;
  }
  void leave() EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    --inside_;
    left_.notify_all();
  }

  Mutex mutex_;
  ConditionVariable left_;
  int inside_ GUARDED_BY(mutex_) = 0;
  bool closed_ GUARDED_BY(mutex_) = false;
};

}  // namespace barnabas::bindings
