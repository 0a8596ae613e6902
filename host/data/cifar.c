/* CIFAR-10, binary version: files of records of one label byte and 3 x 32 x 32 pixel bytes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/data/file.h"
#include "host/data/source.h"
#include "host/status.h"

#define RECORD_BYTES 3073
#define SUBFOLDER "cifar-10-batches-bin" /* what the published archive unpacks to */

/* Reads the label byte of each record, a few hundred records at a time. */
static ntk_status read_labels(const ntk_source_file *file, int32_t *labels) {
  enum { CHUNK = 256 };
  unsigned char *bytes = malloc((size_t)CHUNK * RECORD_BYTES);
  if (!bytes) return ntk_fail(NTK_ERROR_MEMORY, "no memory to read %s", file->path);
  ntk_status status = NTK_OK;
  for (int64_t first = 0; first < file->count && status == NTK_OK; first += CHUNK) {
    int64_t count = file->count - first < CHUNK ? file->count - first : CHUNK;
    status = ntk_file_read(file->fd, file->path, first * RECORD_BYTES, count * RECORD_BYTES, bytes);
    for (int64_t i = 0; i < count && status == NTK_OK; i++) {
      labels[first + i] = bytes[i * RECORD_BYTES];
      if (labels[first + i] > 9)
        status =
            ntk_fail(NTK_ERROR_DATA,
                     "the label of record %lld (from 0) of %s is %d; CIFAR-10 has the classes 0 to 9, so this is not "
                     "its binary version",
                     (long long)(first + i), file->path, labels[first + i]);
    }
  }
  free(bytes);
  return status;
}

ntk_status ntk_cifar10_add(ntk_source *source, const char *path) {
  int64_t size;
  ntk_source_file *file = &source->file[source->files];
  NTK_TRY(ntk_file_open(path, &file->fd, &size));
  source->files++; /* from here on ntk_source_clear closes it */
  file->path = strdup(path);
  if (!file->path) return ntk_fail(NTK_ERROR_MEMORY, "no memory for the path %s", path);
  if (size % RECORD_BYTES != 0)
    return ntk_fail(
        NTK_ERROR_DATA,
        "%s is truncated: %lld bytes are missing at the end of record %lld (records have %d bytes); copy it again",
        path, (long long)(RECORD_BYTES - size % RECORD_BYTES), (long long)(size / RECORD_BYTES), RECORD_BYTES);
  file->count = size / RECORD_BYTES;
  file->offset = 1;
  file->stride = RECORD_BYTES;
  if (file->count == 0) return ntk_fail(NTK_ERROR_DATA, "%s is empty; copy it again", path);
  int32_t *labels = realloc(source->labels, (size_t)(source->count + file->count) * sizeof *labels);
  if (!labels) return ntk_fail(NTK_ERROR_MEMORY, "no memory for the labels of %s", path);
  source->labels = labels;
  NTK_TRY(read_labels(file, labels + source->count));
  source->count += file->count;
  source->classes = 10;
  source->dtype = NTK_DTYPE_U8;
  return ntk_source_set_shape(source, path, (ntk_shape){3, 32, 32});
}

static ntk_status add_present(ntk_source *source, const char *folder, bool test) {
  for (int batch = 1; batch <= (test ? 1 : NTK_SOURCE_FILES); batch++) {
    char *path;
    int length =
        test ? asprintf(&path, "%s/test_batch.bin", folder) : asprintf(&path, "%s/data_batch_%d.bin", folder, batch);
    if (length < 0) return ntk_fail(NTK_ERROR_MEMORY, "no memory for the paths of CIFAR-10 in %s", folder);
    ntk_status status = access(path, F_OK) == 0 ? ntk_cifar10_add(source, path) : NTK_OK;
    free(path);
    NTK_TRY(status);
  }
  return NTK_OK;
}

ntk_status ntk_cifar10_open(const char *folder, bool test, ntk_source *source) {
  NTK_TRY(add_present(source, folder, test));
  if (source->files == 0) {
    char *below;
    if (asprintf(&below, "%s/" SUBFOLDER, folder) < 0)
      return ntk_fail(NTK_ERROR_MEMORY, "no memory for the paths of CIFAR-10 in %s", folder);
    ntk_status status = add_present(source, below, test);
    free(below);
    NTK_TRY(status);
  }
  if (source->files > 0) return NTK_OK;
  return ntk_fail(NTK_ERROR_IO,
                  "there is no %s in %s or in its subfolder " SUBFOLDER
                  "; unpack the binary version of CIFAR-10 "
                  "(cifar-10-binary.tar.gz) there",
                  test ? "test_batch.bin" : "data_batch_1.bin to data_batch_5.bin", folder);
}
