// Kafka's small text files: a version line, a count line and one line an entry; and how any small
// file is replaced so that a crash leaves the old or the new one.
//
// Thread-safety: two writers of one path must be kept apart by the caller.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"

namespace barnabas::storage {

enum class Durability {
  kNow,    // fsynced, and the rename too, before the call returns
  kLater,  // a later fsync or syncfs of the caller's makes it durable
};

/// Writes `path`.tmp and renames it over `path`.
Status replace_file(const std::string& path, ByteView content, Durability durability);

/// The whole file. A missing one is an error with sys_errno ENOENT; one above `limit` bytes too.
inline constexpr size_t kMaxSmallFileBytes = 256u << 20;
Result<std::vector<uint8_t>> read_small_file(const std::string& path,
                                             size_t limit = kMaxSmallFileBytes);

/// The entry lines of a version 0 checkpoint. Errors name the file and the line.
Result<std::vector<std::string>> read_checkpoint_lines(const std::string& path);
Status write_checkpoint_lines(const std::string& path, const std::vector<std::string>& lines,
                              Durability durability);

/// The content of such a file.
std::string checkpoint_text(const std::vector<std::string>& lines);

/// The error of a file whose content is not what its format says.
Error malformed_file(const std::string& path, const std::string& why);

}  // namespace barnabas::storage
