/* The plane engine: all demanded offset planes of one pair of images, from the input products through every layer to
 * the pooled sums. One table of functions per instruction set and precision; no I/O, no policy, no allocation.
 */
#ifndef NTK_KERNELS_PLANE_H
#define NTK_KERNELS_PLANE_H

#include <stddef.h>

#include "kernels/program.h"

/* Images with more channels than this have their products computed by a GEMM outside the kernel. */
enum { NTK_INNER_CHANNELS = 12 };

typedef struct ntk_plane_ops {
  const char *isa;
  int f64;
  /* Bytes of a prepared image: pixels and normaliser tables in lane order. Images are 64-byte aligned. */
  size_t (*image_bytes)(const ntk_program *program);
  /* Bytes of the working memory of one thread, 64-byte aligned. */
  size_t (*scratch_bytes)(const ntk_program *program);
  /* Prepares an image from channels x height x width pixels. scratch: as above. */
  void (*prepare)(const ntk_program *program, const double *pixels, void *image, void *scratch);
  /* The channels x (height width) matrix of a prepared image with many channels (element type of the precision), for
   * the GEMM of input products; NULL for few channels. */
  const void *(*channel_matrix)(const ntk_program *program, const void *image);
  /* Computes one pair. products: (height width) x (height width) matrix SUM_c x z for many channels, else NULL.
   * sums: [tap][pool][2] = pooled sums of T and S in state units (program.h) with the images' powers of two undone.
   * Returns an estimate of the relative error that float32 leaves in this pair's NTK (0 in float64): near-duplicates.
   */
  double (*pair)(const ntk_program *program, const void *x, const void *z, const void *products, void *scratch,
                 double *sums);
} ntk_plane_ops;

extern const ntk_plane_ops ntk_plane_baseline_f32, ntk_plane_baseline_f64;
extern const ntk_plane_ops ntk_plane_avx2_f32, ntk_plane_avx2_f64;
extern const ntk_plane_ops ntk_plane_avx512_f32, ntk_plane_avx512_f64;

/* The self pass of a network in stages, in float64 (plane_stage.h): prepares a float64 image and returns n^2 of every
 * activation, [norm][height width], stage after stage. */
typedef void ntk_plane_self(const ntk_program *program, const double *pixels, void *image, void *scratch, double *out);
ntk_plane_self ntk_plane_self_baseline, ntk_plane_self_avx2, ntk_plane_self_avx512;

#endif
