// Files made of other files: a second name, or a copy.
//
// Thread-safety: safe from every thread, for files that nobody else changes meanwhile.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"

namespace barnabas {

/// Whether files in one of these directories can get a second name in the other.
bool on_one_file_system(const std::string& directory, const std::string& other);

/// Gives the file at `from` the name `to` as well; copies it where it cannot have one there: on
/// another file system, or when it has as many names as it may. Errors carry `from`; sys_errno
/// ENOENT: there is none.
Status link_or_copy_file(const std::string& from, const std::string& to);

/// Makes `to` of the first `bytes` of `from`, with the times that it was changed and read. The two
/// share blocks where the file system can do that. REQUIRES: `from` has that many.
Status copy_file(const std::string& from, const std::string& to, uint64_t bytes);

/// Whether the file has another name, so that what is written to it is written to another's as
/// well. A file that is not there has none.
Result<bool> has_other_name(const std::string& path);

/// Puts a copy in the place of a file with other names; returns whether it had any. Whoever has the
/// file open keeps the old one.
Result<bool> leave_other_names(const std::string& path);

}  // namespace barnabas
