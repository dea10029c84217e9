// Keeping what the loader takes out of a corrupt log: copies and renames that Kafka's own tools and
// our loader ignore.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"

namespace barnabas::storage {

/// `<log path>.corrupt-<position>`
std::string set_aside_path(const std::string& log_path, uint64_t position);

/// Copies [position, position + bytes) of `fd` to `aside` and fsyncs it, so that the original may
/// be cut.
Status copy_aside(int fd, const std::string& path, uint64_t position, uint64_t bytes,
                  const std::string& aside);

/// Renames a segment's log out of the way when a good batch is in it. Returns its size, 0 when it
/// was left where it is.
Result<uint64_t> set_aside_if_good(const std::string& log_path, int64_t base_offset);

}  // namespace barnabas::storage
