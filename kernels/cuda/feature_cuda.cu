/* Feature maps on a CUDA device (feature_cuda.h). Compiled with NTK_REAL_F64 = 0. Parts: feature_rows.cuh what goes
 * column by column, feature_transform.cuh the sketches. */
#include "kernels/cuda/feature_cuda.h"

#include "kernels/cuda/block.cuh"
#include "kernels/feature_unit.h"
#include "kernels/random.h"

/* clang-format off */
#include "kernels/cuda/feature_rows.cuh"
#include "kernels/cuda/feature_transform.cuh"
/* clang-format on */

/* ---- random matrices ---- */

int ntk_cuda_feature_normals(uint64_t seed, uint32_t random_stream, int inputs, int count, ntk_cuda_rows weights,
                             cudaStream_t stream) {
  const uint64_t total = (uint64_t)inputs * (uint64_t)count, blocks = (total + 3) / 4;
  if (total == 0) return cudaSuccess;
  NTK_LAUNCH(feature_normals, (unsigned)((blocks + DRAW_THREADS - 1) / DRAW_THREADS), DRAW_THREADS, 0, stream, seed,
             random_stream, total, count, weights);
  return cudaGetLastError();
}

int ntk_cuda_feature_to_sphere(int inputs, int count, ntk_cuda_rows weights, cudaStream_t stream) {
  if (count == 0) return cudaSuccess;
  NTK_LAUNCH(feature_to_sphere, (unsigned)(count + DRAW_THREADS - 1) / DRAW_THREADS, DRAW_THREADS, 0, stream, inputs,
             count, weights);
  return cudaGetLastError();
}

/* ---- rows ---- */

int ntk_cuda_feature_layout(const float *images, int count, int pixels, int channels, float *out, cudaStream_t stream) {
  const row_grid g = grid_of(count * pixels, channels);
  NTK_LAUNCH(feature_layout, g.grid, g.threads, 0, stream, images, count * pixels, pixels, channels, out);
  return cudaGetLastError();
}

int ntk_cuda_feature_gather(const ntk_feature_gather *gather, int side_by_side, ntk_cuda_rows in, ntk_cuda_rows out,
                            int images, cudaStream_t stream) {
  const int groups = side_by_side ? gather->outputs : (gather->outputs + GATHERED - 1) / GATHERED;
  const int rows = images * groups;
  const row_grid g = grid_of(rows, gather->span);
  if (side_by_side)
    NTK_LAUNCH(feature_concatenate, g.grid, g.threads, 0, stream, *gather, in, out, rows);
  else
    NTK_LAUNCH(feature_gather, g.grid, g.threads, 0, stream, *gather, in, out, groups, rows);
  return cudaGetLastError();
}

int ntk_cuda_feature_fill(ntk_cuda_rows out, int rows, float value, cudaStream_t stream) {
  NTK_LAUNCH(feature_fill, (unsigned)(rows + ROW_THREADS - 1) / ROW_THREADS, ROW_THREADS, 0, stream, out, rows, value);
  return cudaGetLastError();
}

int ntk_cuda_feature_norms(ntk_cuda_rows in, int rows, int columns, float *norms, cudaStream_t stream) {
  const int warps = ROW_THREADS / 32;
  NTK_LAUNCH(feature_norms, (unsigned)(rows + warps - 1) / warps, ROW_THREADS, 0, stream, in, rows, columns, norms);
  return cudaGetLastError();
}

int ntk_cuda_feature_unit(const ntk_feature_unit *unit, int derivative, ntk_cuda_row_scale scale, ntk_cuda_rows u,
                          ntk_cuda_rows out, int rows, int columns, cudaStream_t stream) {
  const row_grid g = grid_of(rows, columns);
  if (unit->kind == NTK_UNIT_PIECES)
    NTK_LAUNCH(feature_unit<1>, g.grid, g.threads, 0, stream, *unit, derivative, scale, u, out, rows, columns);
  else
    NTK_LAUNCH(feature_unit<0>, g.grid, g.threads, 0, stream, *unit, derivative, scale, u, out, rows, columns);
  return cudaGetLastError();
}

int ntk_cuda_feature_result(ntk_cuda_rows in, int rows, int columns, float scale, float *out, cudaStream_t stream) {
  const row_grid g = grid_of(rows, columns);
  NTK_LAUNCH(feature_result, g.grid, g.threads, 0, stream, in, rows, columns, scale, out);
  return cudaGetLastError();
}

/* ---- sketches ---- */

enum { LEAST_BITS = 8, MOST_BITS = 15 }; /* of what shared memory holds: a warp's registers, 128 KiB */

template <int BITS, int WARP_BITS>
static int launch_hadamard(const ntk_cuda_hadamard *p, ntk_cuda_rows in, ntk_cuda_rows out, int rows, int pieces,
                           size_t shared_most, cudaStream_t stream) {
  const int error = allow_shared((const void *)feature_hadamard<BITS, WARP_BITS>, shared_most);
  if (error) return error;
  NTK_LAUNCH((feature_hadamard<BITS, WARP_BITS>), (unsigned)rows, 32 << WARP_BITS,
             sizeof(float) << (BITS + WARP_BITS + 5), stream, *p, in, out, pieces);
  return cudaGetLastError();
}

/* Zeros behind the end repeat a transform: a short one may be taken for a longer one. */
int ntk_cuda_feature_hadamard(const ntk_cuda_hadamard *transform, ntk_cuda_rows in, ntk_cuda_rows out, int rows,
                              size_t shared_most, cudaStream_t stream) {
  int all = LEAST_BITS, bits = LEAST_BITS;
  while (1 << all < transform->transform.size) all++;
  while (bits < all && bits < MOST_BITS && (sizeof(float) << (bits + 1)) + SHARED_STATIC <= shared_most) bits++;
  const int pieces = 1 << (all - bits);
#define LAUNCH(own, warps) launch_hadamard<own, warps>(transform, in, out, rows, pieces, shared_most, stream)
  switch (bits) {
    case 8: return LAUNCH(3, 0);
    case 9: return LAUNCH(3, 1);
    case 10: return LAUNCH(3, 2);
    case 11: return LAUNCH(3, 3);
    case 12: return LAUNCH(4, 3);
    case 13: return LAUNCH(4, 4);
    case 14: return LAUNCH(5, 4);
    default: return LAUNCH(5, 5);
  }
#undef LAUNCH
}

int ntk_cuda_feature_pack(const ntk_cuda_fourier *sketch, ntk_cuda_rows x, ntk_cuda_rows y, int rows, float *z,
                          cudaStream_t stream) {
  const row_grid g = grid_of(rows, sketch->size);
  NTK_LAUNCH(feature_pack, g.grid, g.threads, 0, stream, *sketch, x, y, rows, (float2 *)z);
  return cudaGetLastError();
}

int ntk_cuda_feature_unpack(const ntk_cuda_fourier *sketch, const float *z, ntk_cuda_rows out, int rows,
                            cudaStream_t stream) {
  const row_grid g = grid_of(rows, (sketch->dim + 1) / 2);
  NTK_LAUNCH(feature_unpack, g.grid, g.threads, 0, stream, *sketch, (const float2 *)z, out, rows);
  return cudaGetLastError();
}

int ntk_cuda_feature_multiply(const ntk_cuda_fourier *sketch, float *z, int rows, cudaStream_t stream) {
  const row_grid g = grid_of(rows, sketch->size / 2 + 1);
  NTK_LAUNCH(feature_multiply, g.grid, g.threads, 0, stream, sketch->size, (float2 *)z, rows);
  return cudaGetLastError();
}

int ntk_cuda_feature_real(const ntk_cuda_fourier *sketch, const float *z, ntk_cuda_rows out, int rows,
                          cudaStream_t stream) {
  const row_grid g = grid_of(rows, sketch->dim);
  NTK_LAUNCH(feature_real, g.grid, g.threads, 0, stream, *sketch, (const float2 *)z, out, rows);
  return cudaGetLastError();
}

/* ---- polynomials of the cosine ---- */

int ntk_cuda_feature_start(ntk_cuda_row_scale scale, float factor, ntk_cuda_rows out, int rows, int columns,
                           cudaStream_t stream) {
  const row_grid g = grid_of(rows, columns);
  NTK_LAUNCH(feature_start, g.grid, g.threads, 0, stream, scale, factor, out, rows, columns);
  return cudaGetLastError();
}

int ntk_cuda_feature_rotate(ntk_cuda_row_scale scale, float factor, const int8_t *sign, int shift, ntk_cuda_rows q,
                            ntk_cuda_rows out, int rows, int columns, cudaStream_t stream) {
  const row_grid g = grid_of(rows, columns);
  NTK_LAUNCH(feature_rotate, g.grid, g.threads, 0, stream, scale, factor, sign, shift, q, out, rows, columns);
  return cudaGetLastError();
}
