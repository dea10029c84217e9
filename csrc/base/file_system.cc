#include "base/file_system.h"

#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>

namespace barnabas {
namespace {

FileSystem& system_file_system() {
  static FileSystem system;
  return system;
}

std::atomic<FileSystem*> in_force{nullptr};

}  // namespace

int FileSystem::open(const char* path, int flags, unsigned mode) {
  return ::open(path, flags, mode);
}

ssize_t FileSystem::pwrite(int fd, const void* bytes, size_t count, off_t offset) {
  return ::pwrite(fd, bytes, count, offset);
}

ssize_t FileSystem::pread(int fd, void* bytes, size_t count, off_t offset) {
  return ::pread(fd, bytes, count, offset);
}

ssize_t FileSystem::sendfile(int socket, int fd, off_t* offset, size_t count) {
  return ::sendfile(socket, fd, offset, count);
}

int FileSystem::ftruncate(int fd, off_t size) { return ::ftruncate(fd, size); }
int FileSystem::fdatasync(int fd) { return ::fdatasync(fd); }
int FileSystem::fsync(int fd) { return ::fsync(fd); }
int FileSystem::syncfs(int fd) { return ::syncfs(fd); }
int FileSystem::rename(const char* from, const char* to) { return ::rename(from, to); }
int FileSystem::unlink(const char* path) { return ::unlink(path); }
int FileSystem::link(const char* from, const char* to) { return ::link(from, to); }

ssize_t FileSystem::copy_file_range(int from, int to, off_t offset, size_t count) {
  off_t to_offset = offset;
  return ::copy_file_range(from, &offset, to, &to_offset, count, 0);
}

int FileSystem::mkdir(const char* path, unsigned mode) { return ::mkdir(path, mode); }
int FileSystem::rmdir(const char* path) { return ::rmdir(path); }

FileSystem& file_system() {
  FileSystem* const other = in_force.load(std::memory_order_acquire);
  return other == nullptr ? system_file_system() : *other;
}

void set_file_system(FileSystem* other) { in_force.store(other, std::memory_order_release); }

}  // namespace barnabas
