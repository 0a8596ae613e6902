/* Compiled, not run: the arithmetic that CPU and CUDA kernels share must be CUDA C++ too. The vocabulary of
 * kernels/lanes.h for a single lane comes first. */
#include <stdint.h>

#ifndef NTK_REAL_F64
#define NTK_REAL_F64 0
#endif
#if NTK_REAL_F64
typedef double real;
#else
typedef float real;
#endif
typedef real vec;
#define INLINE static __device__ __forceinline__
#define UNROLL _Pragma("unroll")

INLINE vec vec_set(real a) { return a; }
INLINE vec vec_fma(vec a, vec b, vec c) { return fma(a, b, c); }

#include "kernels/duals.h"
#include "kernels/packing.h"
#include "kernels/program.h"

/* k0 and k1 of correlations m = 1 - rho, at the entries that a seam leaves connected. */
__global__ void duals(const real *m, real *k0, real *k1, int n, int a) {
  int i = (int)(blockIdx.x * blockDim.x + threadIdx.x);
  if (i >= n || !ntk_axis_connected(i, n, a)) return;
  vec one[1] = {m[ntk_axis_partner(i, n, a)]}, p[1], s[1];
  NTK_DUALS_WHOLE(p, s, one, 1, 1);
  vec q = sqrt(one[0] > (real)NTK_DUAL_SNAP ? one[0] : (real)0);
  k0[i] = 1 - q * p[0];
  k1[i] = 1 - one[0] + one[0] * q * s[0];
}

__global__ void weights(const ntk_program *program, real *out, int c) {
  int i = (int)threadIdx.x, k = (int)threadIdx.y;
  if (i < program->height && k < program->height)
    out[i * program->height + k] = (real)ntk_lap_weight(i, k, program->height, c);
}
