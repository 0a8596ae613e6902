/** @file npy.h
 *  NumPy .npy files (format versions 1.0 to 3.0), as far as kernel matrices, labels and predictions need them.
 */
#ifndef NTK_NPY_H
#define NTK_NPY_H

#include <ntk/status.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Element types of .npy files that libntk reads (little endian). */
typedef enum ntk_dtype {
  NTK_DTYPE_U8 = 1,
  NTK_DTYPE_I32 = 2,
  NTK_DTYPE_I64 = 3,
  NTK_DTYPE_F32 = 4,
  NTK_DTYPE_F64 = 5
} ntk_dtype;

/** What a header says. */
typedef struct ntk_npy_info {
  ntk_dtype dtype;
  int rank;           /**< 1..4. */
  int64_t shape[4];   /**< shape[rank..3] are 1. */
  int64_t data_offset;/**< Bytes before the first value. */
} ntk_npy_info;

/** Reads and checks a header, and that the file holds exactly the values that the header promises.
 *  @return NTK_OK; NTK_ERROR_IO; NTK_ERROR_DATA (no .npy file, Fortran order, another type, truncated). */
NTK_API ntk_status ntk_npy_stat(const char *path, ntk_npy_info *info);

/** Reads a whole array of any of the types as float64. @param values receives a buffer to be freed with ntk_npy_free.
 *  @return as ntk_npy_stat, and NTK_ERROR_MEMORY. */
NTK_API ntk_status ntk_npy_read_f64(const char *path, ntk_npy_info *info, double **values);

/** Reads a whole integer array (u8, i32, i64 or integral floats) as int32; a value outside int32 is NTK_ERROR_DATA.
 *  @param values receives a buffer to be freed with ntk_npy_free. @return as ntk_npy_read_f64. */
NTK_API ntk_status ntk_npy_read_i32(const char *path, ntk_npy_info *info, int32_t **values);

/** Writes an array to a temporary file beside `path`, makes it durable and renames it, so that `path` is never half
 *  written. @param values rank-`rank` array of `dtype`, row-major. @return NTK_OK, NTK_ERROR_IO, NTK_ERROR_ARGUMENT. */
NTK_API ntk_status ntk_npy_write(const char *path, ntk_dtype dtype, int rank, const int64_t *shape, const void *values);

/** Frees a buffer of ntk_npy_read_f64 or ntk_npy_read_i32; NULL is allowed. */
NTK_API void ntk_npy_free(void *values);

#ifdef __cplusplus
}
#endif
#endif
