// Structured log lines out of the native core. The process installs one sink; the Python layer
// forwards to `logging`, tests collect, and without a sink warnings and errors go to stderr.
//
// Thread-safety: everything here may be called from any thread, never with a lock held that the
// sink could need. Nothing on the path of a healthy record logs.
#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace barnabas {

enum class LogLevel { kInfo = 20, kWarning = 30, kError = 40 };

using LogSink = std::function<void(LogLevel, std::string_view component, std::string_view message)>;

void set_log_sink(LogSink sink);
void log(LogLevel level, std::string_view component, std::string_view message);

}  // namespace barnabas
