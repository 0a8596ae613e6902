/* The vocabulary of kernels/lanes.h for one float64 lane: what dual_row.h needs on the host's scalar side and in a CUDA
 * thread (where cuda/lanes.cuh, included before, brings the first words). */
#ifndef NTK_KERNELS_LANES_ONE_H
#define NTK_KERNELS_LANES_ONE_H

#include <math.h>

#ifndef NTK_KERNELS_CUDA_LANES_CUH
#define NTK_REAL_F64 1
#define NTK_KERNELS_LANES_H /* of the same words */
typedef double real;
typedef double vec;
#define INLINE static inline
#define UNROLL
INLINE vec vec_set(real a) { return a; }
INLINE vec vec_fma(vec a, vec b, vec c) { return fma(a, b, c); }
#endif

typedef int mask;
INLINE vec vec_loadu(const double *p) { return *p; }
INLINE void vec_storeu(double *p, vec v) { *p = v; }
INLINE vec vec_fms(vec a, vec b, vec c) { return fma(a, b, -c); }
INLINE vec vec_abs(vec a) { return fabs(a); }
INLINE mask vec_greater(vec a, vec b) { return a > b; }
INLINE vec vec_keep(vec a, mask m) { return m ? a : 0; }
INLINE vec vec_select(mask m, vec a, vec b) { return m ? a : b; }
INLINE vec vec_sqrt_where(vec a, mask m) { return m ? sqrt(a) : 0; }
INLINE vec vec_exp(vec a) { return exp(a); }
INLINE vec vec_expm1(vec a) { return expm1(a); }

#endif
