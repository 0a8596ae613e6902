#include "host/data/file.h"
#include "host/data/npy.h"
#include "host/status.h"

ntk_status ntk_npy_write(const char *path, ntk_dtype dtype, int rank, const int64_t *shape, const void *values) {
  if (!path || !*path || !shape) return ntk_fail(NTK_ERROR_ARGUMENT, "ntk_npy_write needs a path and a shape");
  if (ntk_dtype_size(dtype) == 0)
    return ntk_fail(NTK_ERROR_ARGUMENT, "%d is no element type of ntk_npy_write", (int)dtype);
  if (rank < 1 || rank > 4)
    return ntk_fail(NTK_ERROR_ARGUMENT, "an array of %d axes cannot be written; 1 to 4 are possible", rank);
  int64_t count = ntk_npy_values(dtype, rank, shape);
  if (count < 0)
    return ntk_fail(NTK_ERROR_ARGUMENT, "the shape of the array for %s has a negative or too large size", path);
  if (!values && count > 0) return ntk_fail(NTK_ERROR_ARGUMENT, "ntk_npy_write got no values for %s", path);
  unsigned char header[NTK_NPY_HEADER_MAX];
  const int length = ntk_npy_header_format(dtype, rank, shape, header);
  return ntk_file_write(path, header, length, values, count * ntk_dtype_size(dtype));
}
