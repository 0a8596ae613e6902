/* Writing a file so that its name never stands for a half-written one. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/data/file.h"
#include "host/status.h"

static ntk_status write_failed(const char *path) {
  if (errno == ENOSPC || errno == EDQUOT)
    return ntk_fail(NTK_ERROR_IO, "cannot write %s: the disk is full (%m); free some space or choose another folder",
                    path);
  return ntk_fail(NTK_ERROR_IO, "cannot write %s: %m; check the folder, its permissions and its space", path);
}

static ntk_status write_all(int fd, const char *path, const void *bytes, int64_t size) {
  const int64_t largest = 1 << 30;
  const unsigned char *from = bytes;
  while (size > 0) {
    ssize_t put = write(fd, from, (size_t)(size < largest ? size : largest));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return write_failed(path);
    from += put;
    size -= put;
  }
  return NTK_OK;
}

/* A new file beside `path`; not mkstemp, which would ignore the user's umask. *temporary is freed by the caller. */
static ntk_status create_beside(const char *path, char **temporary, int *fd) {
  for (int attempt = 0; attempt < 1000; attempt++) {
    if (asprintf(temporary, "%s.tmp-%ld-%d", path, (long)getpid(), attempt) < 0)
      return ntk_fail(NTK_ERROR_MEMORY, "no memory to write %s", path);
    *fd = open(*temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (*fd >= 0) return NTK_OK;
    free(*temporary);
    if (errno != EEXIST) return write_failed(path);
  }
  return ntk_fail(NTK_ERROR_IO, "cannot write %s: too many temporary files %s.tmp-* are in the way; remove them", path,
                  path);
}

/* Makes the new name durable. */
static ntk_status sync_folder(const char *path) {
  const char *slash = strrchr(path, '/');
  char *folder = !slash ? strdup(".") : slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
  if (!folder) return ntk_fail(NTK_ERROR_MEMORY, "no memory to write %s", path);
  int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  free(folder);
  if (fd < 0) return errno == EACCES ? NTK_OK : write_failed(path); /* a folder may be writable but not readable */
  int failed = fsync(fd) != 0 && errno != EINVAL;                   /* EINVAL: a file system without such a thing */
  ntk_status status = failed ? write_failed(path) : NTK_OK;
  close(fd);
  return status;
}

static ntk_status write_parts(int fd, const char *path, const void *head, int64_t head_bytes, const void *body,
                              int64_t body_bytes) {
  NTK_TRY(write_all(fd, path, head, head_bytes));
  NTK_TRY(write_all(fd, path, body, body_bytes));
  return fsync(fd) == 0 ? NTK_OK : write_failed(path);
}

ntk_status ntk_file_write(const char *path, const void *head, int64_t head_bytes, const void *body,
                          int64_t body_bytes) {
  char *temporary = NULL;
  int fd = -1;
  NTK_TRY(create_beside(path, &temporary, &fd));
  ntk_status status = write_parts(fd, path, head, head_bytes, body, body_bytes);
  if (close(fd) != 0 && status == NTK_OK) status = write_failed(path);
  if (status == NTK_OK && rename(temporary, path) != 0) status = write_failed(path);
  if (status != NTK_OK)
    unlink(temporary);
  else
    status = sync_folder(path);
  free(temporary);
  return status;
}
