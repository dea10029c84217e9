// How the end of an append is told.
#pragma once

#include <cstdint>
#include <functional>

#include "base/kafka_error.h"

namespace barnabas::dataplane {

/// Told once an append is below the high watermark (kNone), or will never be.
using DurableCallback = std::function<void(ErrorCode error, int64_t base_offset)>;

}  // namespace barnabas::dataplane
