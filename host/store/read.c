#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "host/status.h"
#include "host/store/internal.h"

static ntk_status read_checked(const ntk_store_place *place, char **text) {
  ntk_store_shape shape;
  bool complete;
  size_t size;
  json_t *manifest;
  const char *path = place->path[NTK_STORE_MANIFEST];
  NTK_TRY(ntk_store_manifest_load(path, place->folder, place->name[NTK_STORE_MANIFEST], text, &size));
  ntk_status status = ntk_store_manifest_parse(path, *text, size, &manifest, &shape, &complete);
  json_decref(manifest);
  if (status == NTK_OK) return NTK_OK;
  free(*text);
  *text = NULL;
  return status;
}

ntk_status ntk_store_read_manifest(const char *path, char **text) {
  ntk_store_place place;
  *text = NULL;
  ntk_status status = ntk_store_place_init(&place, path);
  if (status == NTK_OK) status = read_checked(&place, text);
  ntk_store_place_free(&place);
  return status;
}

static ntk_status check_header(const ntk_store_file *data, ntk_store_shape *shape) {
  char header[NTK_STORE_NPY_HEADER] = "";
  size_t got;
  struct stat status;
  if (fstat(data->fd, &status) < 0) return ntk_store_file_fail(data, "read");
  NTK_TRY(ntk_store_file_read(data, header, sizeof header, 0, &got));
  if (!ntk_store_npy_parse(header, shape))
    return ntk_fail(NTK_ERROR_CORRUPT,
                    "%s does not begin like a matrix written by libntk: restore it or compute it again", data->path);
  if (status.st_size == ntk_store_shape_bytes(shape)) return NTK_OK;
  return ntk_fail(NTK_ERROR_CORRUPT, "%s has %lld bytes instead of %lld: restore it or compute it again", data->path,
                  (long long)status.st_size, (long long)ntk_store_shape_bytes(shape));
}

static ntk_status read_entry(const ntk_store_file *data, const ntk_store_shape *shape, int64_t row, int64_t column,
                             double *value) {
  if (row < 0 || row >= shape->rows || column < 0 || column >= shape->columns)
    return ntk_fail(NTK_ERROR_ARGUMENT, "%s has %lld x %lld values and no entry (%lld, %lld)", data->path,
                    (long long)shape->rows, (long long)shape->columns, (long long)row, (long long)column);
  union {
    float narrow;
    double wide;
  } stored;
  size_t width = shape->dtype == NTK_DTYPE_F32 ? sizeof stored.narrow : sizeof stored.wide, got;
  int64_t offset = NTK_STORE_NPY_HEADER + (row * shape->columns + column) * (int64_t)width;
  NTK_TRY(ntk_store_file_read(data, &stored, width, offset, &got));
  if (got < width)
    return ntk_fail(NTK_ERROR_CORRUPT, "%s was cut short while it was read: restore it or compute it again",
                    data->path);
  *value = shape->dtype == NTK_DTYPE_F32 ? (double)stored.narrow : stored.wide;
  return NTK_OK;
}

ntk_status ntk_store_read_entries(const char *path, int64_t count, const int64_t *rows, const int64_t *columns,
                                  double *values) {
  ntk_store_shape shape = {0};
  ntk_store_file data = {.fd = open(path, O_RDONLY | O_CLOEXEC), .path = path};
  if (data.fd < 0) return ntk_store_file_fail(&data, "opened");
  ntk_status status = check_header(&data, &shape);
  for (int64_t k = 0; k < count && status == NTK_OK; k++)
    status = read_entry(&data, &shape, rows[k], columns[k], &values[k]);
  ntk_store_file_close(&data);
  return status;
}
