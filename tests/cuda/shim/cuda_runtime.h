/* A stand-in for CUDA C++: kernels compile as plain C++ and run on the CPU, the threads of a block in lock step between
 * barriers and shuffles (shim.cpp). A barrier or a shuffle that not all threads reach ends the program with a message,
 * as does a shared array overrun in a build with the address sanitizer. */
#ifndef NTK_TESTS_CUDA_SHIM_RUNTIME_H
#define NTK_TESTS_CUDA_SHIM_RUNTIME_H

#include <cuda_runtime_api.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include <functional>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __shared__ static thread_local
#define __constant__ static const
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))

struct uint3 {
  unsigned x, y, z;
};
struct dim3 {
  unsigned x, y, z;
  dim3(unsigned a = 1, unsigned b = 1, unsigned c = 1) : x(a), y(b), z(c) {}
};
struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(16) double2 {
  double x, y;
};
struct alignas(16) double4 {
  double x, y, z, w;
};
static inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
static inline double2 make_double2(double x, double y) { return {x, y}; }

struct ntk_shim_state {
  uint3 thread, block;
  dim3 threads, grid;
  int lane;         /* in the warp */
  void *shared;     /* the block's dynamic shared memory */
  int shuffles = 0; /* of this thread: which of the warp's two slots comes next */
  uint64_t (*slots)[32]; /* the warp's */
};
extern thread_local ntk_shim_state *ntk_shim; /* of the running thread */

void ntk_shim_wait_block();
void ntk_shim_wait_warp();
void ntk_shim_launch(const void *function, dim3 grid, dim3 threads, size_t shared,
                     const std::function<void()> &kernel);

#define threadIdx (ntk_shim->thread)
#define blockIdx (ntk_shim->block)
#define blockDim (ntk_shim->threads)
#define gridDim (ntk_shim->grid)
#define NTK_DYNAMIC_SHARED(type, name) type *const name = (type *)ntk_shim->shared
#define NTK_LAUNCH(kernel, grid, threads, shared, stream, ...) \
  ((void)(stream), ntk_shim_launch((const void *)(kernel), grid, threads, shared, [=]() { kernel(__VA_ARGS__); }))

static inline void __syncthreads() { ntk_shim_wait_block(); }
static inline void __syncwarp(unsigned = 0xffffffffu) { ntk_shim_wait_warp(); }

/* The value of lane `from`; every lane of the warp must call. */
template <typename T>
static inline T ntk_shim_exchange(T value, int from) {
  static_assert(sizeof(T) <= 8, "shuffles move up to 8 bytes");
  uint64_t *const slot = ntk_shim->slots[ntk_shim->shuffles++ % 2];
  memcpy(&slot[ntk_shim->lane], &value, sizeof value);
  ntk_shim_wait_warp();
  T out;
  memcpy(&out, &slot[from], sizeof out);
  return out;
}
template <typename T>
static inline T __shfl_sync(unsigned, T v, int from, int width = 32) {
  return ntk_shim_exchange(v, (ntk_shim->lane & ~(width - 1)) | (from & (width - 1)));
}
template <typename T>
static inline T __shfl_up_sync(unsigned, T v, unsigned delta, int width = 32) {
  const int lane = ntk_shim->lane, inside = lane & (width - 1);
  return ntk_shim_exchange(v, inside >= (int)delta ? lane - (int)delta : lane);
}
template <typename T>
static inline T __shfl_down_sync(unsigned, T v, unsigned delta, int width = 32) {
  const int lane = ntk_shim->lane, inside = lane & (width - 1);
  return ntk_shim_exchange(v, inside + (int)delta < width ? lane + (int)delta : lane);
}
template <typename T>
static inline T __shfl_xor_sync(unsigned, T v, int mask, int = 32) {
  return ntk_shim_exchange(v, ntk_shim->lane ^ mask);
}
static inline unsigned __ballot_sync(unsigned, int predicate) {
  unsigned out = 0;
  for (int k = 0; k < 32; k++) out |= (unsigned)(ntk_shim_exchange(predicate != 0, k) ? 1 : 0) << k;
  return out;
}

static inline int __popc(unsigned v) { return __builtin_popcount(v); }
static inline int atomicAdd(int *at, int v) {
  const int old = *at;
  *at += v;
  return old;
}
static inline float __saturatef(float v) { return v > 0 ? (v < 1 ? v : 1) : 0; } /* NaN gives 0 */
template <typename T>
static inline T __ldg(const T *at) { return *at; }

#endif
