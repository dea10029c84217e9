#include "storage/set_aside.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <vector>

#include "base/fd.h"
#include "storage/log_file_name.h"
#include "storage/segment_scanner.h"

namespace barnabas::storage {
namespace {

constexpr size_t kCopyBytes = 1 << 20;

}  // namespace

std::string set_aside_path(const std::string& log_path, uint64_t position) {
  return log_path + std::string(suffix::kCorrupt) + std::to_string(position);
}

Status copy_aside(int fd, const std::string& path, uint64_t position, uint64_t bytes,
                  const std::string& aside) {
  BARNABAS_ASSIGN(const UniqueFd out, open_file(aside, O_WRONLY | O_CREAT | O_TRUNC));
  std::vector<uint8_t> buffer(std::min<uint64_t>(kCopyBytes, bytes));
  uint64_t done = 0;
  while (done < bytes) {
    const size_t wanted = static_cast<size_t>(std::min<uint64_t>(buffer.size(), bytes - done));
    BARNABAS_ASSIGN(const size_t got,
                    read_at(fd, MutableBytes(buffer).first(wanted), position + done, path));
    if (got == 0) break;
    BARNABAS_TRY(write_all_at(out.get(), ByteView(buffer).first(got), done, aside));
    done += got;
  }
  return sync_data(out.get(), aside);
}

Result<uint64_t> set_aside_if_good(const std::string& log_path, int64_t base_offset) {
  uint64_t bytes = 0;
  {
    BARNABAS_ASSIGN(const UniqueFd fd, open_file(log_path, O_RDONLY));
    struct stat info {};
    if (::fstat(fd.get(), &info) != 0) return system_error(log_path);
    bytes = static_cast<uint64_t>(info.st_size);
    SegmentScanner scanner(fd.get(), log_path, bytes);
    BARNABAS_ASSIGN(const bool good, scanner.good_batch_after(0, base_offset));
    if (!good) return uint64_t{0};
  }
  const std::string aside = set_aside_path(log_path, 0);
  BARNABAS_TRY(rename_file(log_path, aside));
  return bytes;
}

}  // namespace barnabas::storage
