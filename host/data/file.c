#include "host/data/file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/status.h"

ntk_status ntk_file_open(const char *path, int *fd, int64_t *size) {
  /* O_NONBLOCK: opening a named pipe must fail below, not wait for a writer. */
  int opened = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (opened < 0) return ntk_fail(NTK_ERROR_IO, "cannot open %s: %m; check the path and its permissions", path);
  struct stat status;
  if (fstat(opened, &status) != 0) {
    ntk_status failed = ntk_fail(NTK_ERROR_IO, "cannot read the size of %s: %m", path);
    close(opened);
    return failed;
  }
  if (!S_ISREG(status.st_mode)) {
    close(opened);
    return ntk_fail(NTK_ERROR_IO, "%s is not a regular file; name a file, no folder, pipe or device", path);
  }
  *fd = opened;
  *size = (int64_t)status.st_size;
  return NTK_OK;
}

ntk_status ntk_file_read(int fd, const char *path, int64_t offset, int64_t bytes, void *out) {
  const int64_t largest = 1 << 30; /* Linux transfers at most 2 GiB a call. */
  unsigned char *to = out;
  while (bytes > 0) {
    ssize_t got = pread(fd, to, (size_t)(bytes < largest ? bytes : largest), (off_t)offset);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ntk_fail(NTK_ERROR_IO, "cannot read %s: %m", path);
    if (got == 0)
      return ntk_fail(NTK_ERROR_IO,
                      "%s ends at byte %lld, earlier than when it was opened; do not change it while it is used", path,
                      (long long)offset);
    to += got;
    offset += got;
    bytes -= got;
  }
  return NTK_OK;
}
