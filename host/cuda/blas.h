/* Internal: products of inputs and of features by cuBLAS, always of the same shape, so that no bit depends on how a
 * matrix is cut. */
#ifndef NTK_HOST_CUDA_BLAS_H
#define NTK_HOST_CUDA_BLAS_H

#include <cuda_runtime_api.h>
#include <ntk/status.h>

#include "kernels/cuda/feature_cuda.h"

typedef struct ntk_cuda_blas ntk_cuda_blas;

/* For the current device; calls are queued on the stream. */
ntk_status ntk_cuda_blas_create(cudaStream_t stream, ntk_cuda_blas **out);
void ntk_cuda_blas_free(ntk_cuda_blas *blas);

/* out[i][j] = factor * SUM_k x[i][k] z[j][k], i, j < rows, k < length; row-major float64 in device memory. */
ntk_status ntk_cuda_blas_rows(ntk_cuda_blas *blas, const double *x, const double *z, int rows, int length,
                              double factor, double *out);

/* For k < count: out[k][p][q] = SUM_c x[k][c][p] z[k][c][q], p, q < area, c < channels; row-major, float64 or float32.
 * The three arrays of addresses are in device memory too. */
ntk_status ntk_cuda_blas_pixels(ntk_cuda_blas *blas, int f64, const void *const *x, const void *const *z,
                                void *const *out, int count, int area, int channels);

/* out = factor a b, a rows x inner, b inner x columns with the rows of `out`'s length; row-major float32 in full
 * precision (no TF32). */
ntk_status ntk_cuda_blas_product(ntk_cuda_blas *blas, ntk_cuda_rows a, const float *b, int rows, int inner, int columns,
                                 float factor, ntk_cuda_rows out);

#endif
