/* Networks in stages for CUDA, compiled once a precision: NTK_REAL_F64 is 0 or 1. Stage after stage: one launch over
 * all tiles of all pairs, then the sums of its poolings; at the end the readout's sums. Parts: stage_strip.cuh a
 * thread's entries, filters and slots, stage_exit.cuh the ways between stages, stage_tile.cuh layers and the kernel. */
#include "kernels/cuda/stage_cuda.h"

#include "kernels/cuda/block.cuh"
#if NTK_REAL_F64
#include "kernels/lanes_one.h"
/* which it uses */
#include "kernels/dual_row.h"
#endif

#if NTK_REAL_F64
#define NTK_NAME(name) name##_f64
#else
#define NTK_NAME(name) name##_f32
#endif

/* clang-format off */
#include "kernels/cuda/stage_strip.cuh"
#include "kernels/cuda/stage_exit.cuh"
#include "kernels/cuda/stage_tile.cuh"
/* clang-format on */

static int block_threads(const ntk_cuda_stage *p) {
  return (p->width * ((p->height + p->rows - 1) / p->rows) + 31) / 32 * 32;
}

/* As the kernel lays it out: planes of S and T, twice with few rows a thread, then slots. */
static size_t dynamic_shared(const ntk_cuda_stage *p) {
  const size_t states = p->want_ntk ? 2 : 1, copies = p->rows > 4 ? 1 : 2;
  const size_t plane = (size_t)((p->height + p->rows - 1) / p->rows) * (size_t)p->rows * (size_t)p->pitch;
  const size_t slot = (size_t)p->rows * (size_t)block_threads(p);
  return states * (copies * plane + (size_t)p->shared_slots * slot) * sizeof(real);
}

static size_t shared_bytes(const ntk_cuda_stage *p) { return SHARED_STATIC + dynamic_shared(p); }

template <int ROWS, int NTK>
static int launch_tiles(const ntk_cuda_stage *p, const ntk_cuda_stage_pairs *q, cudaStream_t stream) {
  const int error = allow_shared((const void *)NTK_NAME(stage_tiles)<ROWS, NTK>, p->shared_most);
  if (error) return error;
  const unsigned grid = (unsigned)q->count * (unsigned)p->tile_count;
  NTK_LAUNCH((NTK_NAME(stage_tiles)<ROWS, NTK>), grid, block_threads(p), dynamic_shared(p), stream, *p, *q);
  return cudaGetLastError();
}

static int launch_stage(const ntk_cuda_stage *p, const ntk_cuda_stage_pairs *q, cudaStream_t stream) {
  int error;
  if (p->rows == 2)
    error = p->want_ntk ? launch_tiles<2, 1>(p, q, stream) : launch_tiles<2, 0>(p, q, stream);
  else if (p->rows == 4)
    error = p->want_ntk ? launch_tiles<4, 1>(p, q, stream) : launch_tiles<4, 0>(p, q, stream);
  else
    error = p->want_ntk ? launch_tiles<16, 1>(p, q, stream) : launch_tiles<16, 0>(p, q, stream);
  for (int e = 0; !error && e < p->exit_count; e++) error = launch_sums(p, &p->host_exits[e], q, stream);
  return error;
}

enum { FINISH_THREADS = 128 };

/* Adds up the tiles of a pair, a block each; always in the same order. tiles: of the readout's stage and of the two
 * judged ones. */
__global__ void __launch_bounds__(FINISH_THREADS) NTK_NAME(finish_stages)(ntk_cuda_stage_pairs q, int pools,
                                                                          int tiles, int first_tiles, int last_tiles) {
  __shared__ double2 partial[FINISH_THREADS / 32];
  const size_t pair = blockIdx.x;
  for (int pool = 0; pool < pools; pool++) {
    double t = 0, s = 0;
    for (int k = (int)threadIdx.x; k < tiles; k += FINISH_THREADS) {
      const double *const from = q.partial + ((pair * tiles + k) * pools + pool) * 2;
      t += from[0], s += from[1];
    }
    const double2 sum = block_sum(t, s, partial);
    if (threadIdx.x == 0) q.sums[(pair * pools + pool) * 2] = sum.x, q.sums[(pair * pools + pool) * 2 + 1] = sum.y;
  }
  for (int at = 0; at < 2; at++) {
    const int count = at ? last_tiles : first_tiles;
    double risk = 0, weight = 0;
    for (int k = (int)threadIdx.x; k < count; k += FINISH_THREADS) {
      const float *const from = q.partial_risk + at * q.risk_stride + (pair * count + k) * 2;
      risk += from[0], weight += from[1];
    }
    const double2 sum = block_sum(risk, weight, partial);
    if (threadIdx.x == 0) q.risk[2 * pair + at] = sum.y > 0 ? (float)(sum.x / sum.y) : sum.x == 0 ? 0 : INFINITY;
  }
}

static int stage_tiles_of(const ntk_cuda_stages *n, int stage) {
  return NTK_REAL_F64 || stage < 0 || !n->stages[stage].want_ntk ? 0 : n->stages[stage].tile_count;
}

static int run_pairs(const ntk_cuda_stages *n, const ntk_cuda_stage_pairs *q, cudaStream_t stream) {
  if (q->count == 0) return cudaSuccess;
  for (int k = 0; k < n->cleared_count; k++) {
    const ntk_cuda_section *section = &n->cleared[k];
    const int error = cudaMemsetAsync((real *)q->memory + section->offset * (size_t)q->capacity, 0,
                                      section->size * (size_t)q->count * sizeof(real), stream);
    if (error) return error;
  }
  for (int k = 0; k < n->stage_count; k++) {
    const int error = n->stages[k].tile_count ? launch_stage(&n->stages[k], q, stream) : 0;
    if (error) return error;
  }
  NTK_LAUNCH(NTK_NAME(finish_stages), (unsigned)q->count, FINISH_THREADS, 0, stream, *q, n->pool_count,
             n->stages[n->stage_count - 1].tile_count, stage_tiles_of(n, n->first_stage),
             stage_tiles_of(n, n->last_stage));
  return cudaGetLastError();
}

extern "C" const ntk_cuda_stage_ops NTK_NAME(ntk_cuda_stage) = {NTK_REAL_F64, shared_bytes, run_pairs};
