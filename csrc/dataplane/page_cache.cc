#include "dataplane/page_cache.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>

namespace barnabas::dataplane {
namespace {

constexpr uint64_t kPageBytes = 4096;
constexpr uint64_t kProbeStrideBytes = 64 << 10;  // well below the usual readahead window
constexpr size_t kReadChunkBytes = 128 << 10;
constexpr uint64_t kMaxPrefetchBytes = 1 << 20;

// The kernel's struct cachestat and its range (linux/mman.h has them from 6.5 on only).
constexpr long kCachestatNumber = 451;
struct CachestatRange {
  uint64_t offset;
  uint64_t length;
};
struct Cachestat {
  uint64_t cached;
  uint64_t dirty;
  uint64_t writeback;
  uint64_t evicted;
  uint64_t recently_evicted;
};

// The byte at `offset` can be had without waiting. A file system that cannot tell counts as yes:
// its reads are then no worse than without asking.
bool probe(int fd, uint64_t offset) {
  uint8_t byte = 0;
  iovec vector{&byte, 1};
  const ssize_t got = preadv2(fd, &vector, 1, static_cast<off_t>(offset), RWF_NOWAIT);
  return got >= 0 || errno != EAGAIN;
}

bool probe_all(int fd, uint64_t begin, uint64_t end) {
  for (uint64_t at = begin; at < end; at += kProbeStrideBytes) {
    if (!probe(fd, at)) return false;
  }
  return true;
}

}  // namespace

bool is_resident(const FileSlice& slice) {
  if (slice.length == 0) return true;
  const int fd = slice.file->get();
  const uint64_t end = slice.position + slice.length;
  // A page under readahead counts as cached but is not there yet; the last one comes last.
  if (!probe(fd, end - 1)) return false;

  const uint64_t first_page = slice.position / kPageBytes;
  const uint64_t pages = (end - 1) / kPageBytes - first_page + 1;
  CachestatRange range{first_page * kPageBytes, pages * kPageBytes};
  Cachestat stat{};
  if (syscall(kCachestatNumber, fd, &range, &stat, 0) == 0) {
    if (stat.cached >= pages) return true;
    // None at all although the probe found one: a stacked file system that keeps its pages
    // elsewhere and cannot be asked this way.
    if (stat.cached > 0) return false;
  }
  return probe_all(fd, slice.position, end);
}

Status bring_in(const FileSlice& slice, const std::string& path) {
  const int fd = slice.file->get();
  (void)readahead(fd, static_cast<off64_t>(slice.position), slice.length);  // only a hint
  std::array<uint8_t, kReadChunkBytes> scratch;
  uint64_t at = slice.position;
  const uint64_t end = slice.position + slice.length;
  while (at < end) {
    const size_t want = std::min<uint64_t>(scratch.size(), end - at);
    BARNABAS_ASSIGN(const size_t got, read_at(fd, {scratch.data(), want}, at, path));
    if (got == 0) {
      return Error{ErrorCode::kKafkaStorageError,
                   path + ": ends at " + std::to_string(at) + ", before " + std::to_string(end)};
    }
    at += got;
  }
  // The consumer that read this will ask for what follows.
  (void)readahead(fd, static_cast<off64_t>(end), std::min(slice.length, kMaxPrefetchBytes));
  return {};
}

}  // namespace barnabas::dataplane
