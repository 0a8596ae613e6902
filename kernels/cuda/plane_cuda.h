/* The plane engine on a CUDA device: launchers for the host layer, one table a precision.
 *
 * All pointers of the structures below are device memory. Every launcher only queues work on the stream and returns a
 * cudaError_t (0: queued). Results do not depend on how pairs are grouped into calls.
 */
#ifndef NTK_KERNELS_CUDA_PLANE_CUDA_H
#define NTK_KERNELS_CUDA_PLANE_CUDA_H

#include <cuda_runtime_api.h>
#include <stddef.h>

#include "kernels/program.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Tiles are grouped by b: a group's tiles share z's rotated tables, and a block computes one group of one pair. */
typedef struct ntk_cuda_plane {
  int channels, height, width;
  int inner; /* 1: channels are multiplied in the kernel; 0: `products` are given */
  int layer_count, norm_count, tap_count, pool_count;
  int want_ntk, few_entries;
  int deficit; /* 1: pairs of images that both have constant regions are computed too, by plane_flat.cuh, where it can;
                  else they come back with infinite risk */
  int tile_count, group_count;
  double bias_scale;
  const ntk_program_layer *layers;
  const ntk_tile *tiles;
  const int *groups;          /* group_count + 1: first tile of every group */
  const int *even_tiles;      /* group_count: how many of a group's tiles, the first ones, have an even row seam
                                 (plane_warp.cuh) */
  int most_even, most_odd;    /* most such tiles of a group, most others */
  const double *pool_weights; /* [pool]: height x height, then width x width; flatten: identities */
  size_t shared_most;         /* bytes of shared memory that a block may have on this device */
  int plain; /* 1: what plane_warp.cuh computes: two or more layers, all 3x3 with zero padding, ReLU and no bias, all
                trained but perhaps the first, a tap at the end */
} ntk_cuda_plane;

/* Prepared images, natural order, real = float or double:
 * tables[image * stride]: channels x height x width pixels scaled by 2^-exponent, then n = sqrt(K(p, p)) of every ReLU,
 * [norm][height][width]; with `deficit` plane_flat.cuh's float64 tables. flat[image]: pixels in the middle of a
 * constant 3x3 patch. */
typedef struct ntk_cuda_images {
  void *tables;
  size_t stride; /* reals an image, a multiple of 4 */
  int *exponent, *flat;
} ntk_cuda_images;

/* A pair: image x of the one side, image z of the other. */
typedef struct ntk_cuda_pair {
  int x, z;
} ntk_cuda_pair;

typedef struct ntk_cuda_pairs {
  ntk_cuda_images x, z;
  const ntk_cuda_pair *list;
  int count;
  const void *products; /* [pair][height width][height width] reals: SUM_c x[c][p] z[c][q]; unused with `inner` */
  /* out */
  double *partial;     /* [pair][group][tap][pool][2], working memory */
  double *sums;        /* [pair][tap][pool][2]: pooled T and S in state units, the images' powers of two undone */
  float *risk;         /* [pair]: estimated relative error of the NTK; infinite: float32 cannot tell. 0 in float64 */
  float *partial_risk; /* [pair][group][4], working memory */
} ntk_cuda_pairs;

typedef struct ntk_cuda_plane_ops {
  int f64;
  /* Reals of a prepared image. */
  size_t (*image_reals)(const ntk_cuda_plane *plane);
  /* Shared memory that a block needs, in bytes. */
  size_t (*shared_bytes)(const ntk_cuda_plane *plane);
  /* Prepares `count` images from [count][channels][height][width] pixels. */
  int (*prepare)(const ntk_cuda_plane *plane, const double *pixels, int count, const ntk_cuda_images *out,
                 cudaStream_t stream);
  /* Computes pairs. */
  int (*pairs)(const ntk_cuda_plane *plane, const ntk_cuda_pairs *pairs, cudaStream_t stream);
} ntk_cuda_plane_ops;

extern const ntk_cuda_plane_ops ntk_cuda_plane_f32, ntk_cuda_plane_f64;

#ifdef __cplusplus
}
#endif
#endif
