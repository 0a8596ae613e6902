/* Feature rows from .npy files. */
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/data/file.h"
#include "host/data/npy.h"
#include "host/regress/ridge.h"
#include "host/store/store.h"

struct ntk_feature_file {
  char *path;
  int fd;
  ntk_npy_info info;
};

ntk_status ntk_feature_check(const char *name, int64_t first, int64_t count, int64_t dim, const float *values) {
  int bad = 0;
  for (int64_t i = 0; i < count * dim; i++) bad |= !isfinite(values[i]);
  if (!bad) return NTK_OK;
  int64_t at = 0;
  while (isfinite(values[at])) at++;
  return ntk_fail(NTK_ERROR_DATA, "%s: the value in row %lld, column %lld is %g, but features must be finite numbers",
                  name, (long long)(first + at / dim), (long long)(at % dim), (double)values[at]);
}

/* float64 values on the way to float32, as many as fit a small buffer at a time. */
static ntk_status read_f64(const ntk_feature_file *file, int64_t offset, int64_t count, float *out) {
  double values[1024];
  for (int64_t first = 0; first < count; first += 1024) {
    const int64_t part = count - first < 1024 ? count - first : 1024;
    NTK_TRY(ntk_file_read(file->fd, file->path, offset + first * 8, part * 8, values));
    for (int64_t i = 0; i < part; i++) out[first + i] = (float)values[i];
  }
  return NTK_OK;
}

static ntk_status read_rows(void *user, int64_t first, int64_t count, float *out) {
  const ntk_feature_file *file = user;
  const int64_t dim = file->info.shape[1], size = ntk_dtype_size(file->info.dtype);
  const int64_t offset = file->info.data_offset + first * dim * size;
  if (first < 0 || count < 0 || first > file->info.shape[0] - count)
    return ntk_fail(NTK_ERROR_ARGUMENT, "%s has %lld rows and not those from %lld to %lld", file->path,
                    (long long)file->info.shape[0], (long long)first, (long long)(first + count - 1));
  if (file->info.dtype == NTK_DTYPE_F64)
    NTK_TRY(read_f64(file, offset, count * dim, out));
  else
    NTK_TRY(ntk_file_read(file->fd, file->path, offset, count * dim * size, out));
  return ntk_feature_check(file->path, first, count, dim, out);
}

/* A plain array without a manifest is whole. */
static ntk_status check_complete(const char *path) {
  char *text = NULL;
  struct stat status;
  if (asprintf(&text, "%s.json", path) < 0) return ntk_fail(NTK_ERROR_MEMORY, "no memory for the name of a manifest");
  const bool there = stat(text, &status) == 0 || errno != ENOENT;
  free(text);
  if (!there) return NTK_OK;
  NTK_TRY(ntk_store_read_manifest(path, &text));
  json_t *manifest = json_loads(text, 0, NULL);
  const bool complete = json_is_true(json_object_get(manifest, "complete"));
  json_decref(manifest);
  free(text);
  if (complete) return NTK_OK;
  return ntk_fail(NTK_ERROR_DATA,
                  "%s is not complete, says its manifest: finish it with the command that began it and --resume", path);
}

static ntk_status check_array(const char *path, const ntk_npy_info *info) {
  if (info->rank != 2)
    return ntk_fail(NTK_ERROR_DATA, "%s has rank %d; features are a matrix (rank 2), one row a record", path,
                    info->rank);
  if (info->dtype != NTK_DTYPE_F32 && info->dtype != NTK_DTYPE_F64)
    return ntk_fail(NTK_ERROR_DATA, "%s holds whole numbers; features are float32 or float64", path);
  if (info->shape[1] < 1) return ntk_fail(NTK_ERROR_DATA, "%s has no columns; a row has at least one feature", path);
  return check_complete(path);
}

ntk_status ntk_feature_file_open(const char *path, ntk_feature_file **file) {
  if (file) *file = NULL;
  if (!path || !file) return ntk_fail(NTK_ERROR_ARGUMENT, "ntk_feature_file_open: path and file must not be NULL");
  ntk_npy_info info;
  int fd;
  NTK_TRY(ntk_npy_open(path, &info, &fd));
  ntk_status status = check_array(path, &info);
  ntk_feature_file *opened = status == NTK_OK ? calloc(1, sizeof *opened) : NULL;
  char *copy = opened ? strdup(path) : NULL;
  if (status == NTK_OK && !copy) status = ntk_fail(NTK_ERROR_MEMORY, "no memory to open %s", path);
  if (status == NTK_OK) {
    *opened = (ntk_feature_file){copy, fd, info};
    *file = opened;
    return NTK_OK;
  }
  free(opened);
  close(fd);
  return status;
}

ntk_feature_rows ntk_feature_file_rows(const ntk_feature_file *file) {
  if (!file) return (ntk_feature_rows){0};
  return (ntk_feature_rows){file->info.shape[0], file->info.shape[1], read_rows, (void *)file};
}

void ntk_feature_file_free(ntk_feature_file *file) {
  if (!file) return;
  close(file->fd);
  free(file->path);
  free(file);
}
