// What the log asks of the system about files: one small interface, so that another can stand in
// for the system's own. faulty_file_system.h has one that fails.
//
// Every method is the system call of its name: the same arguments, -1 and errno when it fails. fd.h
// has what is called by others: with paths in the errors, and whole writes.
//
// Thread-safety: every method may be called from any thread.
#pragma once

#include <sys/types.h>

#include <cstddef>

namespace barnabas {

class FileSystem {
 public:
  virtual ~FileSystem() = default;

  virtual int open(const char* path, int flags, unsigned mode);
  virtual ssize_t pwrite(int fd, const void* bytes, size_t count, off_t offset);
  virtual ssize_t pread(int fd, void* bytes, size_t count, off_t offset);
  /// From a file to a socket; an error of either.
  virtual ssize_t sendfile(int socket, int fd, off_t* offset, size_t count);
  virtual int ftruncate(int fd, off_t size);
  virtual int fdatasync(int fd);
  virtual int fsync(int fd);
  virtual int syncfs(int fd);
  virtual int rename(const char* from, const char* to);
  virtual int unlink(const char* path);
  virtual int link(const char* from, const char* to);
  /// From and to the same offset of both.
  virtual ssize_t copy_file_range(int from, int to, off_t offset, size_t count);
  virtual int mkdir(const char* path, unsigned mode);
  virtual int rmdir(const char* path);
};

/// The one in force in this process.
FileSystem& file_system();

/// Puts another into force, or with null the system's own again. It must live as long as anything
/// may still be inside a call of it.
void set_file_system(FileSystem* other);

}  // namespace barnabas
