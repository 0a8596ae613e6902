/* Internal: images of networks in stages, prepared on the host. */
#ifndef NTK_HOST_CUDA_STAGE_IMAGES_H
#define NTK_HOST_CUDA_STAGE_IMAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "host/backend/backend.h"
#include "host/gram/plan.h"

/* What the host keeps of an image. */
typedef struct ntk_stage_image {
  int exponent;     /* pixels are scaled by 2^-exponent */
  int flat;         /* pixels in the middle of a constant patch */
  uint64_t content; /* equal for equal images */
} ntk_stage_image;

/* Working memory of ntk_stage_image_prepare. */
size_t ntk_stage_image_scratch(const ntk_plan *plan, const ntk_backend *backend);

/* Fills in the tables of an image (kernels/cuda/stage_cuda.h) as float64 or float32, and the hashes of its patches
 * unless `hashes` is NULL. pixels: channels x height x width; scratch: 64-byte aligned. */
void ntk_stage_image_prepare(const ntk_plan *plan, const ntk_backend *backend, bool f64, const double *pixels,
                             void *scratch, void *tables, unsigned *hashes, ntk_stage_image *out);

/* Whether float32 cannot tell the NTK of a pair, known without computing it. */
bool ntk_stage_images_need_f64(const ntk_program *program, const ntk_stage_image *x, const ntk_stage_image *z);

#endif
