/* A file in memory, for fuzzing code that opens paths. */
#ifndef NTK_TESTS_FUZZ_MEMORY_FILE_H
#define NTK_TESTS_FUZZ_MEMORY_FILE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

/* Returns a descriptor to close, or -1; `path` receives a path that opens the file. */
static inline int memory_file(const uint8_t *data, size_t size, char path[64]) {
  int fd = memfd_create("fuzz", MFD_CLOEXEC);
  if (fd < 0) return -1;
  if (write(fd, data, size) != (ssize_t)size) {
    close(fd);
    return -1;
  }
  snprintf(path, 64, "/proc/self/fd/%d", fd);
  return fd;
}

#endif
