#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "host/status.h"
#include "host/store/internal.h"

static const char *const suffixes[NTK_STORE_KINDS] = {".journal", "", ".json"};

static char *joined(const char *head, const char *tail) {
  size_t length = strlen(head), more = strlen(tail);
  char *text = malloc(length + more + 1);
  if (!text) return NULL;
  memcpy(text, head, length);
  memcpy(text + length, tail, more + 1);
  return text;
}

static ntk_status open_folder(ntk_store_place *place, const char *path, const char *base) {
  size_t length = (size_t)(base - path);
  char *folder = length ? strndup(path, length) : strdup(".");
  if (!folder) return ntk_fail(NTK_ERROR_MEMORY, "no memory for the path %s", path);
  place->folder = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  int error = errno;
  free(folder);
  if (place->folder >= 0) return NTK_OK;
  char text[128];
  return ntk_fail(NTK_ERROR_IO, "the folder of %s cannot be opened (%s): create it or choose another --out", path,
                  strerror_r(error, text, sizeof text));
}

ntk_status ntk_store_place_init(ntk_store_place *place, const char *path) {
  const char *slash = strrchr(path, '/');
  const char *base = slash ? slash + 1 : path;
  *place = (ntk_store_place){.folder = -1};
  if (!*base) return ntk_fail(NTK_ERROR_ARGUMENT, "the path \"%s\" does not name a file: give one such as K.npy", path);
  for (int kind = 0; kind < NTK_STORE_KINDS; kind++) {
    place->path[kind] = joined(path, suffixes[kind]);
    if (!place->path[kind]) return ntk_fail(NTK_ERROR_MEMORY, "no memory for the path %s", path);
    place->name[kind] = place->path[kind] + (base - path);
    place->staged[kind] = joined(place->name[kind], ".new");
    if (!place->staged[kind]) return ntk_fail(NTK_ERROR_MEMORY, "no memory for the path %s", path);
  }
  return open_folder(place, path, base);
}

void ntk_store_place_free(ntk_store_place *place) {
  for (int kind = 0; kind < NTK_STORE_KINDS; kind++) {
    free(place->path[kind]);
    free(place->staged[kind]);
  }
  if (place->folder >= 0) close(place->folder);
  *place = (ntk_store_place){.folder = -1};
}

ntk_status ntk_store_place_sync(const ntk_store_place *place) {
  int result;
  do result = fsync(place->folder);
  while (result < 0 && errno == EINTR);
  /* Some file systems have nothing to sync in a folder and say so with EINVAL. */
  if (result == 0 || errno == EINVAL || errno == ENOTSUP) return NTK_OK;
  char text[128];
  return ntk_fail(NTK_ERROR_IO, "the folder of %s cannot be made durable (%s): check the disk",
                  place->path[NTK_STORE_DATA], strerror_r(errno, text, sizeof text));
}

ntk_status ntk_store_place_has(const ntk_store_place *place, ntk_store_kind kind, bool *there) {
  struct stat status;
  *there = false;
  if (fstatat(place->folder, place->name[kind], &status, AT_SYMLINK_NOFOLLOW) < 0) {
    if (errno == ENOENT) return NTK_OK;
    char text[128];
    return ntk_fail(NTK_ERROR_IO, "%s cannot be looked at (%s): check the path and its permissions", place->path[kind],
                    strerror_r(errno, text, sizeof text));
  }
  if (!S_ISREG(status.st_mode))
    return ntk_fail(NTK_ERROR_ARGUMENT, "%s is not a regular file: choose another --out or remove it",
                    place->path[kind]);
  *there = true;
  return NTK_OK;
}

/* Bytes that this user may still write, or -1 where the file system does not tell. */
static int64_t free_bytes(int fd) {
  struct statvfs status;
  if (fstatvfs(fd, &status) < 0 || status.f_blocks == 0) return -1;
  int64_t bytes;
  return __builtin_mul_overflow(status.f_bavail, status.f_frsize, &bytes) ? -1 : bytes;
}

static ntk_status full(const ntk_store_file *file, const char *what, const char *advice) {
  int64_t room = free_bytes(file->fd);
  char there[64] = "";
  if (room >= 0) snprintf(there, sizeof there, " (%lld bytes are free there)", (long long)room);
  return ntk_fail(NTK_ERROR_IO, "%s needs %lld bytes, but %s%s: %s", file->path, (long long)file->size, what, there,
                  advice);
}

static const char *full_reason(int error) {
  if (error == ENOSPC) return "the disk is full";
  if (error == EDQUOT) return "the disk quota is used up";
  if (error == EFBIG) return "a file may not become so large here (see ulimit -f)";
  return NULL;
}

ntk_status ntk_store_file_fail(const ntk_store_file *file, const char *verb) {
  int error = errno;
  char text[128];
  if (full_reason(error))
    return full(file, full_reason(error), "make room, then go on with --resume; finished tiles are safe");
  return ntk_fail(NTK_ERROR_IO, "%s cannot be %s (%s): check the disk and the permissions", file->path, verb,
                  strerror_r(error, text, sizeof text));
}

ntk_status ntk_store_file_write(const ntk_store_file *file, const void *bytes, size_t size, int64_t offset) {
  const char *next = bytes;
  while (size) {
    ssize_t written = pwrite(file->fd, next, size, offset);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) {
      if (written == 0) errno = ENOSPC;
      return ntk_store_file_fail(file, "written");
    }
    next += written;
    size -= (size_t)written;
    offset += written;
  }
  return NTK_OK;
}

ntk_status ntk_store_file_read(const ntk_store_file *file, void *bytes, size_t size, int64_t offset, size_t *got) {
  char *next = bytes;
  *got = 0;
  while (*got < size) {
    ssize_t count = pread(file->fd, next + *got, size - *got, offset + (int64_t)*got);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return ntk_store_file_fail(file, "read");
    if (count == 0) break;
    *got += (size_t)count;
  }
  return NTK_OK;
}

ntk_status ntk_store_file_sync(const ntk_store_file *file) {
  int result;
  do result = fdatasync(file->fd);
  while (result < 0 && errno == EINTR);
  return result == 0 ? NTK_OK : ntk_store_file_fail(file, "made durable");
}

static int resize(int fd, int64_t size) {
  int result;
  do result = ftruncate(fd, size);
  while (result < 0 && errno == EINTR);
  return result;
}

ntk_status ntk_store_file_resize(const ntk_store_file *file, int64_t size) {
  return resize(file->fd, size) == 0 ? NTK_OK : ntk_store_file_fail(file, "resized");
}

ntk_status ntk_store_file_reserve(const ntk_store_file *file, bool extend) {
  static const char advice[] = "make room or choose another --out";
  int64_t room = free_bytes(file->fd);
  /* Asking first spares other programs a disk that is full for a moment. */
  if (room >= 0 && room < file->size) return full(file, "there is not enough room", advice);
  /* Not posix_fallocate: where the file system cannot reserve, glibc would write every block. */
  int result;
  do result = fallocate(file->fd, extend ? 0 : FALLOC_FL_KEEP_SIZE, 0, file->size);
  while (result < 0 && errno == EINTR);
  if (result < 0 && (errno == EOPNOTSUPP || errno == ENOSYS || errno == EINVAL)) {
    if (!extend) return NTK_OK;
    result = resize(file->fd, file->size);
  }
  if (result == 0) return NTK_OK;
  return full_reason(errno) ? full(file, full_reason(errno), advice) : ntk_store_file_fail(file, "reserved");
}

ntk_status ntk_store_file_lock(const ntk_store_file *journal, const char *matrix) {
  int result;
  do result = flock(journal->fd, LOCK_EX | LOCK_NB);
  while (result < 0 && errno == EINTR);
  if (result == 0) return NTK_OK;
  if (errno == EWOULDBLOCK)
    return ntk_fail(NTK_ERROR_IO,
                    "%s is being written by another run: wait until it ends, stop it, or choose another --out", matrix);
  return ntk_store_file_fail(journal, "locked");
}

void ntk_store_file_close(ntk_store_file *file) {
  if (file->fd >= 0) close(file->fd);
  file->fd = -1;
}
