// Keeping what the loader takes out of a corrupt log: copies and renames that Kafka's own tools and
// our loader ignore.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace barnabas::storage {

/// Whether it is the name of what has been set aside: `<log>.corrupt-<position>`, and `-2` and so
/// on behind it when more than one thing had to be kept of one place. It goes with its topic only.
bool is_set_aside(std::string_view file_name);

/// Copies [position, position + bytes) of `fd`, which is `path`, and fsyncs the copy, so that the
/// original may be cut. Returns the copy's path.
Result<std::string> copy_aside(int fd, const std::string& path, uint64_t position, uint64_t bytes);

struct SetAside {
  std::string path;  // "": it was left where it is
  uint64_t bytes = 0;
};
/// Renames a segment's log out of the way when a good batch is in it.
Result<SetAside> set_aside_if_good(const std::string& log_path, int64_t base_offset);

/// Copies what has been set aside in a partition's directory to another of its, durably.
Status copy_what_is_aside(const std::string& from, const std::string& to);

}  // namespace barnabas::storage
