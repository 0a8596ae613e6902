/* Internal: reading and writing regular files, safe to use from several threads. */
#ifndef NTK_HOST_DATA_FILE_H
#define NTK_HOST_DATA_FILE_H

#include <ntk/status.h>
#include <stdint.h>

/* Opens a regular file for reading; *fd is closed by the caller. */
ntk_status ntk_file_open(const char *path, int *fd, int64_t *size);

/* Reads exactly `bytes` bytes from `offset`; less is an error that names `path`. Does not move the file's position. */
ntk_status ntk_file_read(int fd, const char *path, int64_t offset, int64_t bytes, void *out);

/* Writes a file of two parts (docs/data.md, "Writing .npy files"): the old file or the new one, never half of one. */
ntk_status ntk_file_write(const char *path, const void *head, int64_t head_bytes, const void *body, int64_t body_bytes);

#endif
