/* Feature maps on a CUDA device, float32: the operations of kernels/feature.h on all rows of a batch at once.
 *
 * All pointers of the structures below are device memory. Every launcher only queues work on the stream and returns a
 * cudaError_t (0: queued). No kernel uses atomics: the bits of a row depend on its image alone.
 */
#ifndef NTK_KERNELS_CUDA_FEATURE_CUDA_H
#define NTK_KERNELS_CUDA_FEATURE_CUDA_H

#include <cuda_runtime_api.h>

#include "kernels/feature.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Row r begins at at + r stride. */
typedef struct ntk_cuda_rows {
  float *at;
  size_t stride;
} ntk_cuda_rows;

/* ---- random matrices: inputs x count, row-major, from numbers (kernels/random.h) of one stream ---- */

int ntk_cuda_feature_normals(uint64_t seed, uint32_t random_stream, int inputs, int count, ntk_cuda_rows weights,
                             cudaStream_t stream);

/* Every column to the norm sqrt(inputs). */
int ntk_cuda_feature_to_sphere(int inputs, int count, ntk_cuda_rows weights, cudaStream_t stream);

/* ---- rows ---- */

/* [image][channel][pixel] -> [image][pixel][channel] */
int ntk_cuda_feature_layout(const float *images, int count, int pixels, int channels, float *out, cudaStream_t stream);

/* side_by_side: the taps lie side by side in `out`, without signs, and cover it once. */
int ntk_cuda_feature_gather(const ntk_feature_gather *gather, int side_by_side, ntk_cuda_rows in, ntk_cuda_rows out,
                            int images, cudaStream_t stream);

/* The first column. */
int ntk_cuda_feature_fill(ntk_cuda_rows out, int rows, float value, cudaStream_t stream);

/* [row][2]: |row|, and 1 / |row|, or 0. */
int ntk_cuda_feature_norms(ntk_cuda_rows in, int rows, int columns, float *norms, cudaStream_t stream);

/* Factors of rows: scale, times norm_scale |row| where there are norms. */
typedef struct ntk_cuda_row_scale {
  float scale, norm_scale;
  const float *norms;
} ntk_cuda_row_scale;

/* out = scale s(u), or scale s'(u). With norms: u over the row's (and its norm_scale), and s times it; 0 where that is
 * 0. out may be u. */
int ntk_cuda_feature_unit(const ntk_feature_unit *unit, int derivative, ntk_cuda_row_scale scale, ntk_cuda_rows u,
                          ntk_cuda_rows out, int rows, int columns, cudaStream_t stream);

/* out = scale in, rows without gaps. */
int ntk_cuda_feature_result(ntk_cuda_rows in, int rows, int columns, float scale, float *out, cudaStream_t stream);

/* ---- sketches ---- */

/* What numbers go through when they are read: u > 0 ? above : below, the derivative of most units, if it applies. */
typedef struct ntk_cuda_step {
  int applies;
  float below, above;
} ntk_cuda_step;

/* One side of a TensorSRHT, or an SRHT: the transform H of a row, sampled. out[k] = scale H[samples[k]], over the row's
 * norm where there are norms, or out[k] *= H[samples[k]]. */
typedef struct ntk_cuda_hadamard {
  ntk_feature_hadamard transform;
  const int32_t *samples;
  int count, multiplies;
  float scale;
  const float *norms;
  ntk_cuda_step step;
} ntk_cuda_hadamard;

/* shared_most: bytes of shared memory that a block may have; what does not fit goes in pieces. */
int ntk_cuda_feature_hadamard(const ntk_cuda_hadamard *transform, ntk_cuda_rows in, ntk_cuda_rows out, int rows,
                              size_t shared_most, cudaStream_t stream);

/* A sketch by FFTs of `size`: both sides as real and imaginary part of z, rows of `size` complex numbers. */
typedef struct ntk_cuda_fourier {
  int dim_x, dim_y, dim, size;
  const int8_t *sign_x, *sign_y;
  /* FOURIER: [dim / 2] coordinates. COUNT: [dim_x] and [dim_y], the columns of bucket 0, of bucket 1, ... */
  const int32_t *index_x, *index_y;
  const int32_t *first_x, *first_y; /* COUNT: [size + 1], where a bucket's columns begin; FOURIER: NULL */
  float scale;
  ntk_cuda_step step; /* of y */
} ntk_cuda_fourier;

/* The rows before the transform. */
int ntk_cuda_feature_pack(const ntk_cuda_fourier *sketch, ntk_cuda_rows x, ntk_cuda_rows y, int rows, float *z,
                          cudaStream_t stream);

/* FOURIER: the products of sampled coordinates. */
int ntk_cuda_feature_unpack(const ntk_cuda_fourier *sketch, const float *z, ntk_cuda_rows out, int rows,
                            cudaStream_t stream);

/* COUNT: the products of all coordinates in place; then, behind the inverse transform, its real part. */
int ntk_cuda_feature_multiply(const ntk_cuda_fourier *sketch, float *z, int rows, cudaStream_t stream);
int ntk_cuda_feature_real(const ntk_cuda_fourier *sketch, const float *z, ntk_cuda_rows out, int rows,
                          cudaStream_t stream);

/* ---- polynomials of the cosine ---- */

/* out = (factor, 0, 0, ...), times the row's scale. */
int ntk_cuda_feature_start(ntk_cuda_row_scale scale, float factor, ntk_cuda_rows out, int rows, int columns,
                           cudaStream_t stream);

/* out[(shift + i) mod columns] += factor sign[i] q[i], times the row's scale. */
int ntk_cuda_feature_rotate(ntk_cuda_row_scale scale, float factor, const int8_t *sign, int shift, ntk_cuda_rows q,
                            ntk_cuda_rows out, int rows, int columns, cudaStream_t stream);

#ifdef __cplusplus
}
#endif
#endif
