/* IDX files of bytes (the format of MNIST), compressed by gzip or not, and Fashion-MNIST made of them. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <zlib.h>

#include "host/data/file.h"
#include "host/data/source.h"
#include "host/status.h"

#define DEBIAN_FOLDER "/usr/share/datasets/fashion-mnist"
#define DEFLATE_RATIO 1032 /* deflate compresses no byte further than this */

static ntk_status inflate_failed(gzFile file, const char *path, int64_t missing) {
  int code;
  const char *why = gzerror(file, &code);
  if (code == Z_ERRNO) return ntk_fail(NTK_ERROR_IO, "cannot read %s: %m", path);
  if (code == Z_MEM_ERROR) return ntk_fail(NTK_ERROR_MEMORY, "no memory to decompress %s", path);
  if (code == Z_OK || code == Z_STREAM_END || code == Z_BUF_ERROR)
    return ntk_fail(NTK_ERROR_DATA, "%s is truncated: %lld bytes are missing; copy it again", path, (long long)missing);
  return ntk_fail(NTK_ERROR_DATA, "%s is damaged (%s); copy it again", path, why);
}

static ntk_status inflate_exactly(gzFile file, const char *path, unsigned char *out, int64_t bytes) {
  while (bytes > 0) {
    int got = gzread(file, out, (unsigned)(bytes < 1 << 30 ? bytes : 1 << 30));
    if (got <= 0) return inflate_failed(file, path, bytes);
    out += got;
    bytes -= got;
  }
  return NTK_OK;
}

static ntk_status read_sizes(gzFile file, const char *path, int rank, int64_t *sizes, int64_t *total) {
  unsigned char head[16];
  NTK_TRY(inflate_exactly(file, path, head, 4));
  if (head[0] != 0 || head[1] != 0 || head[2] != 8 || head[3] != rank)
    return ntk_fail(
        NTK_ERROR_DATA,
        "%s is not an IDX file of bytes with %d sizes (it begins with %02x%02x%02x%02x, not 000008%02x); copy it "
        "again",
        path, rank, head[0], head[1], head[2], head[3], (unsigned)rank);
  NTK_TRY(inflate_exactly(file, path, head, 4 * rank));
  *total = 1;
  for (int i = 0; i < rank; i++) {
    const unsigned char *at = head + 4 * i;
    sizes[i] = (int64_t)at[0] << 24 | at[1] << 16 | at[2] << 8 | at[3];
    if (__builtin_mul_overflow(*total, sizes[i], total))
      return ntk_fail(NTK_ERROR_DATA, "the sizes in the header of %s are too large for any file; copy it again", path);
  }
  return NTK_OK;
}

static ntk_status read_bytes(gzFile file, const char *path, int64_t file_size, int rank, int64_t *sizes,
                             unsigned char **bytes) {
  int64_t total = 0;
  NTK_TRY(read_sizes(file, path, rank, sizes, &total));
  /* Before any memory is taken for what the file cannot hold. */
  if (total / DEFLATE_RATIO > file_size)
    return ntk_fail(NTK_ERROR_DATA,
                    "%s is truncated: its %lld bytes cannot hold the %lld that its header promises; copy it again",
                    path, (long long)file_size, (long long)total);
  unsigned char *buffer = malloc(total ? (size_t)total : 1);
  if (!buffer) return ntk_fail(NTK_ERROR_MEMORY, "no memory for the %lld bytes of %s", (long long)total, path);
  ntk_status status = inflate_exactly(file, path, buffer, total);
  unsigned char more;
  if (status == NTK_OK) { /* also makes zlib compare the checksum at the end */
    int got = gzread(file, &more, 1);
    if (got < 0) status = inflate_failed(file, path, 0);
    if (got > 0)
      status = ntk_fail(NTK_ERROR_DATA, "%s goes on after the %lld bytes that its header promises; copy it again", path,
                        (long long)total);
  }
  if (status == NTK_OK)
    *bytes = buffer;
  else
    free(buffer);
  return status;
}

ntk_status ntk_idx_read(const char *path, int rank, int64_t *sizes, unsigned char **bytes) {
  int fd;
  int64_t file_size;
  NTK_TRY(ntk_file_open(path, &fd, &file_size));
  gzFile file = gzdopen(fd, "rb");
  if (!file) {
    close(fd);
    return ntk_fail(NTK_ERROR_MEMORY, "no memory to decompress %s", path);
  }
  ntk_status status = read_bytes(file, path, file_size, rank, sizes, bytes);
  gzclose_r(file);
  return status;
}

/* The path of the file NAME.gz or NAME in the folder; *path is freed by the caller. */
static ntk_status find_file(const char *folder, const char *name, char **path) {
  for (int plain = 0; plain < 2; plain++) {
    if (asprintf(path, "%s/%s%s", folder, name, plain ? "" : ".gz") < 0)
      return ntk_fail(NTK_ERROR_MEMORY, "no memory for the path of %s", name);
    if (access(*path, F_OK) == 0) return NTK_OK;
    free(*path);
  }
  return ntk_fail(
      NTK_ERROR_IO,
      "there is no %s.gz in %s; install Debian's package dataset-fashion-mnist, or set NTK_FASHION_MNIST_DIR "
      "to the folder that holds it",
      name, folder);
}

static ntk_status read_named(const char *folder, const char *name, int rank, int64_t *sizes, unsigned char **bytes) {
  char *path;
  NTK_TRY(find_file(folder, name, &path));
  ntk_status status = ntk_idx_read(path, rank, sizes, bytes);
  free(path);
  return status;
}

static ntk_status set_labels(ntk_source *source, const char *folder, const unsigned char *bytes) {
  source->labels = malloc((size_t)source->count * sizeof *source->labels);
  if (!source->labels) return ntk_fail(NTK_ERROR_MEMORY, "no memory for the labels in %s", folder);
  for (int64_t i = 0; i < source->count; i++) {
    if (bytes[i] > 9)
      return ntk_fail(NTK_ERROR_DATA, "label number %lld (from 0) in %s is %d; the classes are 0 to 9", (long long)i,
                      folder, bytes[i]);
    source->labels[i] = bytes[i];
  }
  source->classes = 10;
  return NTK_OK;
}

ntk_status ntk_fashion_mnist_open(const char *folder, bool test, ntk_source *source) {
  if (!folder) folder = DEBIAN_FOLDER;
  int64_t sizes[3], labelled;
  unsigned char *bytes = NULL;
  NTK_TRY(read_named(folder, test ? "t10k-images-idx3-ubyte" : "train-images-idx3-ubyte", 3, sizes, &bytes));
  source->memory = source->owned = bytes;
  source->dtype = NTK_DTYPE_U8;
  source->count = sizes[0];
  if (sizes[0] < 1 || sizes[1] != 28 || sizes[2] != 28)
    return ntk_fail(NTK_ERROR_DATA, "the images in %s are %lld of %lld x %lld pixels; Fashion-MNIST has 28 x 28",
                    folder, (long long)sizes[0], (long long)sizes[1], (long long)sizes[2]);
  NTK_TRY(ntk_source_set_shape(source, folder, (ntk_shape){1, sizes[1], sizes[2]}));
  NTK_TRY(read_named(folder, test ? "t10k-labels-idx1-ubyte" : "train-labels-idx1-ubyte", 1, &labelled, &bytes));
  ntk_status status = labelled == source->count
                          ? set_labels(source, folder, bytes)
                          : ntk_fail(NTK_ERROR_DATA, "%s holds %lld labels for %lld images; copy its files again",
                                     folder, (long long)labelled, (long long)source->count);
  free(bytes);
  return status;
}
