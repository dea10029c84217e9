#include "base/logger.h"

#include <cstdio>
#include <memory>

#include "base/thread_annotations.h"

namespace barnabas {
namespace {

Mutex sink_mutex;
std::shared_ptr<const LogSink> current_sink GUARDED_BY(sink_mutex);

}  // namespace

void set_log_sink(LogSink sink) {
  auto shared = sink ? std::make_shared<const LogSink>(std::move(sink)) : nullptr;
  MutexLock lock(sink_mutex);
  current_sink = std::move(shared);
}

void log(LogLevel level, std::string_view component, std::string_view message) {
  std::shared_ptr<const LogSink> sink;
  {
    MutexLock lock(sink_mutex);
    sink = current_sink;
  }
  if (sink) {
    (*sink)(level, component, message);
  } else if (level >= LogLevel::kWarning) {
    std::fprintf(stderr, "%.*s: %.*s\n", static_cast<int>(component.size()), component.data(),
                 static_cast<int>(message.size()), message.data());
  }
}

}  // namespace barnabas
