/* The plane engine for CUDA, compiled once a precision: NTK_REAL_F64 is 0 or 1. Parts: image.cuh prepares images,
 * plane_block.cuh computes any network, plane_warp.cuh the common ones in float32, plane_flat.cuh those again for
 * images with constant regions. */
#include "kernels/cuda/plane_cuda.h"

#include "kernels/cuda/block.cuh"

#if NTK_REAL_F64
#define NTK_NAME(name) name##_f64
#else
#define NTK_NAME(name) name##_f32
#endif

static int allow_shared(const void *kernel, const ntk_cuda_plane *p) { return allow_shared(kernel, p->shared_most); }

#include "kernels/cuda/image.cuh"
#include "kernels/cuda/plane_block.cuh"
#if NTK_REAL_F64
static int warp_computes(const ntk_cuda_plane *) { return 0; }
#else
#include "kernels/cuda/plane_warp.cuh"

#include "kernels/cuda/plane_flat.cuh"
#endif

/* The plane as the kernels see it: `deficit` only where plane_flat.cuh computes it. */
static ntk_cuda_plane kernel_plane(const ntk_cuda_plane *p) {
  ntk_cuda_plane plane = *p;
  plane.deficit = p->deficit && warp_computes(p) && p->inner && p->tile_count > 1;
  return plane;
}

static size_t image_reals(const ntk_cuda_plane *p) { return table_reals(kernel_plane(p)); }

static size_t shared_bytes(const ntk_cuda_plane *p) {
  const size_t image = 2 * (size_t)p->height * p->width * sizeof(double), block = block_shared(p);
  return SHARED_STATIC + (image > block ? image : block);
}

static int prepare(const ntk_cuda_plane *p, const double *pixels, int count, const ntk_cuda_images *out,
                   cudaStream_t stream) {
  return count == 0 ? cudaSuccess : launch_prepare(kernel_plane(p), pixels, count, out, stream);
}

static int run_pairs(const ntk_cuda_plane *plane, const ntk_cuda_pairs *q, cudaStream_t stream) {
  enum { FINISH_THREADS = 128 };
  const ntk_cuda_plane p = kernel_plane(plane);
  if (q->count == 0) return cudaSuccess;
#if NTK_REAL_F64
  int error = launch_block(&p, q, stream);
#else
  int error = warp_computes(&p) ? launch_warp(&p, q, stream) : launch_block(&p, q, stream);
  if (!error && p.deficit) error = launch_flat(&p, q, stream);
#endif
  if (error) return error;
  const unsigned outputs = 2 * (unsigned)p.tap_count * (unsigned)p.pool_count * (unsigned)q->count;
  NTK_LAUNCH(NTK_NAME(finish_pair), (outputs + FINISH_THREADS - 1) / FINISH_THREADS, FINISH_THREADS, 0, stream, p, *q);
  return cudaGetLastError();
}

extern "C" const ntk_cuda_plane_ops NTK_NAME(ntk_cuda_plane) = {NTK_REAL_F64, image_reals, shared_bytes, prepare,
                                                                run_pairs};
