#include "host/data/npy.h"

#include <ntk/npy.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/data/file.h"
#include "host/status.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "values are taken from files as they are: little endian");

static ntk_status read_header(int fd, const char *path, int64_t file_size, ntk_npy_info *info) {
  unsigned char first[4096];
  int64_t size = file_size < (int64_t)sizeof first ? file_size : (int64_t)sizeof first, needed;
  NTK_TRY(ntk_file_read(fd, path, 0, size, first));
  NTK_TRY(ntk_npy_header_parse(path, first, size, file_size, info, &needed));
  if (needed == 0) return NTK_OK;
  unsigned char *bytes = malloc((size_t)needed);
  if (!bytes) return ntk_fail(NTK_ERROR_MEMORY, "no memory for the header of %s", path);
  ntk_status status = ntk_file_read(fd, path, 0, needed, bytes);
  if (status == NTK_OK) status = ntk_npy_header_parse(path, bytes, needed, file_size, info, &needed);
  free(bytes);
  return status;
}

ntk_status ntk_npy_open(const char *path, ntk_npy_info *info, int *fd) {
  int64_t file_size;
  int opened;
  NTK_TRY(ntk_file_open(path, &opened, &file_size));
  ntk_status status = read_header(opened, path, file_size, info);
  if (status == NTK_OK)
    *fd = opened;
  else
    close(opened);
  return status;
}

ntk_status ntk_npy_stat(const char *path, ntk_npy_info *info) {
  if (!path || !info) return ntk_fail(NTK_ERROR_ARGUMENT, "ntk_npy_stat needs a path and an info to fill");
  int fd;
  ntk_npy_info found;
  NTK_TRY(ntk_npy_open(path, &found, &fd));
  close(fd);
  *info = found;
  return NTK_OK;
}

void *ntk_convert_place(ntk_dtype dtype, int64_t count, double *out) {
  return (unsigned char *)(out + count) - count * ntk_dtype_size(dtype);
}

void ntk_convert_f64(ntk_dtype dtype, const void *raw, int64_t count, double *out) {
  const unsigned char *bytes = raw;
  switch (dtype) {
    case NTK_DTYPE_U8:
      for (int64_t i = 0; i < count; i++) out[i] = bytes[i];
      break;
    case NTK_DTYPE_I32:
      for (int64_t i = 0; i < count; i++) {
        int32_t value;
        memcpy(&value, bytes + 4 * i, sizeof value);
        out[i] = value;
      }
      break;
    case NTK_DTYPE_I64:
      for (int64_t i = 0; i < count; i++) {
        int64_t value;
        memcpy(&value, bytes + 8 * i, sizeof value);
        out[i] = (double)value;
      }
      break;
    case NTK_DTYPE_F32:
      for (int64_t i = 0; i < count; i++) {
        float value;
        memcpy(&value, bytes + 4 * i, sizeof value);
        out[i] = value;
      }
      break;
    case NTK_DTYPE_F64:
      if ((const void *)out != raw) memmove(out, raw, (size_t)count * sizeof *out);
      break;
  }
}

/* Opens `path` and allocates `value_size` bytes for each of its values. */
static ntk_status open_array(const char *path, size_t value_size, ntk_npy_info *info, int *fd, void **values,
                             int64_t *count) {
  NTK_TRY(ntk_npy_open(path, info, fd));
  *count = ntk_npy_values(info->dtype, info->rank, info->shape);
  size_t bytes;
  *values = __builtin_mul_overflow((size_t)*count, value_size, &bytes) ? NULL : malloc(bytes ? bytes : 1);
  if (*values) return NTK_OK;
  close(*fd);
  return ntk_fail(NTK_ERROR_MEMORY, "no memory for the %lld values of %s", (long long)*count, path);
}

ntk_status ntk_npy_read_f64(const char *path, ntk_npy_info *info, double **values) {
  if (!path || !info || !values)
    return ntk_fail(NTK_ERROR_ARGUMENT, "ntk_npy_read_f64 needs a path, an info and values");
  ntk_npy_info found;
  int fd;
  void *buffer;
  int64_t count;
  NTK_TRY(open_array(path, sizeof(double), &found, &fd, &buffer, &count));
  void *raw = ntk_convert_place(found.dtype, count, buffer);
  ntk_status status = ntk_file_read(fd, path, found.data_offset, count * ntk_dtype_size(found.dtype), raw);
  close(fd);
  if (status != NTK_OK) {
    free(buffer);
    return status;
  }
  ntk_convert_f64(found.dtype, raw, count, buffer);
  *info = found;
  *values = buffer;
  return NTK_OK;
}

static ntk_status refuse_integer(const char *path, int64_t position, const char *why) {
  return ntk_fail(NTK_ERROR_DATA,
                  "value number %lld (from 0) of %s %s; whole numbers from -2147483648 to 2147483647 are needed",
                  (long long)position, path, why);
}

/* int64 goes its own way because float64 would round it. */
static ntk_status to_i32(const char *path, ntk_dtype dtype, const unsigned char *raw, int64_t first, int64_t count,
                         int32_t *out) {
  double values[512];
  if (dtype != NTK_DTYPE_I64) ntk_convert_f64(dtype, raw, count, values);
  for (int64_t i = 0; i < count; i++) {
    if (dtype == NTK_DTYPE_I64) {
      int64_t value;
      memcpy(&value, raw + 8 * i, sizeof value);
      if (value < INT32_MIN || value > INT32_MAX) return refuse_integer(path, first + i, "is too large");
      out[i] = (int32_t)value;
    } else {
      if (!(values[i] >= INT32_MIN && values[i] <= INT32_MAX))
        return refuse_integer(path, first + i, "is too large or not a number");
      out[i] = (int32_t)values[i];
      if ((double)out[i] != values[i]) return refuse_integer(path, first + i, "is not a whole number");
    }
  }
  return NTK_OK;
}

ntk_status ntk_npy_read_i32(const char *path, ntk_npy_info *info, int32_t **values) {
  if (!path || !info || !values)
    return ntk_fail(NTK_ERROR_ARGUMENT, "ntk_npy_read_i32 needs a path, an info and values");
  ntk_npy_info found;
  int fd;
  void *buffer;
  int64_t count;
  NTK_TRY(open_array(path, sizeof(int32_t), &found, &fd, &buffer, &count));
  unsigned char raw[512 * 8];
  int64_t size = ntk_dtype_size(found.dtype);
  ntk_status status = NTK_OK;
  for (int64_t first = 0; first < count && status == NTK_OK; first += 512) {
    int64_t part = count - first < 512 ? count - first : 512;
    status = ntk_file_read(fd, path, found.data_offset + first * size, part * size, raw);
    if (status == NTK_OK) status = to_i32(path, found.dtype, raw, first, part, (int32_t *)buffer + first);
  }
  close(fd);
  if (status != NTK_OK) {
    free(buffer);
    return status;
  }
  *info = found;
  *values = buffer;
  return NTK_OK;
}

void ntk_npy_free(void *values) { free(values); }
