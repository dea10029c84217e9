#include "storage/sync_result.h"

#include <fcntl.h>

#include "base/fd.h"
#include "storage/log_file_name.h"

namespace barnabas::storage {

SyncResult synced(Status status) {
  const bool failed = !status.ok();
  return {std::move(status), failed};
}

SyncResult replace_synced(const std::string& path, ByteView content) {
  const std::string temporary = path + std::string(suffix::kTemporary);
  {
    auto fd = open_file(temporary, O_WRONLY | O_CREAT | O_TRUNC);
    if (!fd.ok()) return {std::move(fd).error()};
    Status written = write_all_at(fd->get(), content, 0, temporary);
    if (!written.ok()) return {std::move(written)};
    SyncResult result = synced(sync_data(fd->get(), temporary));
    if (!result.status.ok()) return result;
  }
  Status renamed = rename_file(temporary, path);
  if (!renamed.ok()) return {std::move(renamed)};
  const std::string directory = parent_of(path);
  auto names = open_file(directory, O_RDONLY | O_DIRECTORY);
  if (!names.ok()) return {std::move(names).error()};
  return synced(sync_file(names->get(), directory));
}

}  // namespace barnabas::storage
