/* The vocabulary of kernels/duals.h for one CUDA thread, and the few operations that only the device has.
 *
 * The includer defines NTK_REAL_F64 (0 or 1). The tests compile the same files for the CPU, against a cuda_runtime.h of
 * their own that runs the threads of a block in lock step (tests/cuda/).
 */
#ifndef NTK_KERNELS_CUDA_LANES_CUH
#define NTK_KERNELS_CUDA_LANES_CUH

#include <cuda_runtime.h>
#include <math.h>
#include <stdint.h>

#if NTK_REAL_F64
typedef double real;
#else
typedef float real;
#define NTK_DUAL_SHORT /* where issue slots are what there is too little of */
#endif
typedef real vec;

/* The block's dynamic shared memory, and a launch; the tests' cuda_runtime.h brings its own. */
#ifdef __CUDACC__
#define NTK_DYNAMIC_SHARED(type, name)                                  \
  extern __shared__ __align__(16) unsigned char ntk_dynamic_shared[];  \
  type *const name = reinterpret_cast<type *>(ntk_dynamic_shared)
/* A structure among a kernel's parameters whose address may be taken without a copy of it on every thread's stack. */
#define NTK_PARAMETER const __grid_constant__
#define NTK_LAUNCH(kernel, grid, threads, shared, stream, ...) kernel<<<grid, threads, shared, stream>>>(__VA_ARGS__)
#endif

#ifndef NTK_PARAMETER
#define NTK_PARAMETER const
#endif
#define INLINE static __device__ __forceinline__
#define UNROLL _Pragma("unroll")
#ifdef __CUDACC__
#define OUT_OF_LINE static __device__ __noinline__ /* where registers are dearer than a call */
#else
#define OUT_OF_LINE static
#endif

INLINE vec vec_set(real a) { return a; }
INLINE vec vec_fma(vec a, vec b, vec c) { return fma(a, b, c); }

/* 1 / a to within 1 ulp in float32; a = 0 gives infinity. */
INLINE float fast_reciprocal(float a) {
#ifdef __CUDA_ARCH__
  float r;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(a));
  return r;
#else
  return 1 / a;
#endif
}
INLINE double fast_reciprocal(double a) { return 1 / a; }

/* sqrt to within 1 ulp in float32. */
INLINE float fast_sqrt(float a) {
#ifdef __CUDA_ARCH__
  float r;
  asm("sqrt.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(a));
  return r;
#else
  return sqrtf(a);
#endif
}
INLINE double fast_sqrt(double a) { return sqrt(a); }

/* Sum over the lanes of a warp, in the same order everywhere; every lane receives it. */
INLINE double warp_sum(double v) {
  for (int step = 16; step > 0; step /= 2) v += __shfl_xor_sync(0xffffffffu, v, step);
  return v;
}

#include "kernels/duals.h"
#include "kernels/packing.h"

#endif
