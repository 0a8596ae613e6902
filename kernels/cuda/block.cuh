/* What kernels whose blocks own a tile share (plane_block.cuh, stage.cuh). */
#ifndef NTK_KERNELS_CUDA_BLOCK_CUH
#define NTK_KERNELS_CUDA_BLOCK_CUH

#include "kernels/cuda/lanes.cuh"

/* Shared memory of a block besides the dynamic one: what the kernels declare takes less. */
enum { SHARED_STATIC = 1024 };

/* Lets a kernel use all the shared memory that a block may have, shared_most bytes. The attribute belongs to the
 * function, not to the launch: the same number for every plan, so that two of them do not get into each other's way. */
static int allow_shared(const void *kernel, size_t shared_most) {
  return cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)shared_most - SHARED_STATIC);
}

/* Sums of float64 partial results over the block, in a fixed order; thread 0 receives them. */
INLINE double2 block_sum(double a, double b, double2 *partial) {
  const int warps = (int)blockDim.x / 32;
  a = warp_sum(a), b = warp_sum(b);
  if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = make_double2(a, b);
  __syncthreads();
  double2 sum = make_double2(0, 0);
  if (threadIdx.x == 0)
    for (int k = 0; k < warps; k++) sum.x += partial[k].x, sum.y += partial[k].y;
  __syncthreads();
  return sum;
}

/* SUM over the filter along one axis of a state in shared memory. `at` is index i of an axis of length n whose entries
 * are `step` apart; the tile's offset along it is a. */
INLINE real filter_sum(const real *state, int at, int i, int n, int step, int a, int w, int circular) {
  real sum = state[at];
  for (int s = 1; s <= w; s++) {
    int below = i - s, above = i + s;
    if (circular) {
      below = (below % n + n) % n, above %= n;
      sum += state[at + (below - i) * step] + state[at + (above - i) * step];
    } else {
      const int offset = ntk_axis_offset(i, n, a);
      if (below >= 0 && ntk_axis_offset(below, n, a) == offset) sum += state[at - s * step];
      if (above < n && ntk_axis_offset(above, n, a) == offset) sum += state[at + s * step];
    }
  }
  return sum;
}

#endif
