/* Internal: the parts of .npy files that the data sources share with ntk/npy.h. */
#ifndef NTK_HOST_DATA_NPY_H
#define NTK_HOST_DATA_NPY_H

#include <ntk/npy.h>

#define NTK_NPY_HEADER_MAX 256 /* no header that libntk writes is longer */

/* Bytes of one value; 0 for a number that is no type. */
int64_t ntk_dtype_size(ntk_dtype dtype);

/* Parses the first `size` bytes of a file of `file_size` bytes and checks that the array ends where the file ends.
 * When the header goes on beyond `size`, *needed receives the bytes to read and the call must be repeated; otherwise
 * *needed is 0. `path` is for messages. */
ntk_status ntk_npy_header_parse(const char *path, const unsigned char *bytes, int64_t size, int64_t file_size,
                                ntk_npy_info *info, int64_t *needed);

/* Writes a version 1.0 header, byte for byte as numpy does, into `out` and returns its length (a multiple of 64). */
int ntk_npy_header_format(ntk_dtype dtype, int rank, const int64_t *shape, unsigned char out[NTK_NPY_HEADER_MAX]);

/* The number of values; < 0 when it, or their bytes, do not fit 63 bits. */
int64_t ntk_npy_values(ntk_dtype dtype, int rank, const int64_t *shape);

/* ntk_npy_stat that also hands over the open file. */
ntk_status ntk_npy_open(const char *path, ntk_npy_info *info, int *fd);

/* Converts values to float64. `raw` may overlap `out` if both end at the same byte. */
void ntk_convert_f64(ntk_dtype dtype, const void *raw, int64_t count, double *out);

/* Where in `out` to put `count` raw values so that ntk_convert_f64 can convert them in place. */
void *ntk_convert_place(ntk_dtype dtype, int64_t count, double *out);

#endif
