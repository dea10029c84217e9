// Whether a range of a file is in the page cache, and how to bring it in: so that a reactor's
// sendfile never waits for a disk.
//
// Thread-safety: free functions, safe from every thread.
#pragma once

#include <string>

#include "base/fd.h"
#include "base/result.h"

namespace barnabas::dataplane {

/// Whether sending the slice would find all its pages in memory, as far as can be told cheaply
/// (cachestat(2) where the kernel has it, non-blocking probes elsewhere). Does not block.
[[nodiscard]] bool is_resident(const FileSlice& slice);

/// Reads the slice into the page cache, and starts reading what follows it. Blocks: disk threads
/// only. `path` is for the error.
Status bring_in(const FileSlice& slice, const std::string& path);

}  // namespace barnabas::dataplane
