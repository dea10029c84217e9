#include "base/process_mark.h"

#include <pthread.h>

namespace barnabas {

std::atomic<uint64_t> ProcessMark::current_{0};

const bool ProcessMark::counts_ = ::pthread_atfork(nullptr, nullptr, [] {
                                    current_.fetch_add(1, std::memory_order_relaxed);
                                  }) == 0;

}  // namespace barnabas
