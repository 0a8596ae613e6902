/* Internal: a network in stages in device memory. */
#ifndef NTK_HOST_CUDA_STAGE_PLAN_H
#define NTK_HOST_CUDA_STAGE_PLAN_H

#include "host/cuda/device.h"
#include "kernels/cuda/stage_cuda.h"

/* Uploads a plan with program.stage_count > 0 to the current device, laid out for the precision of `ops`.
 * NTK_ERROR_DEVICE if a block of some stage needs more shared memory than the device has. In any case free it. */
ntk_status ntk_cuda_stages_create(const ntk_plan *plan, const ntk_cuda_stage_ops *ops, const ntk_cuda_device *device,
                                  cudaStream_t stream, ntk_cuda_stages *out, void **memory);
void ntk_cuda_stages_free(ntk_cuda_stages *stages, void **memory);

/* Tiles of the stages of the judged layers, the larger number. */
size_t ntk_cuda_stages_judged_tiles(const ntk_cuda_stages *stages);

#endif
