/* Internal: a plan's plane program in device memory. */
#ifndef NTK_HOST_CUDA_PLANE_H
#define NTK_HOST_CUDA_PLANE_H

#include "host/cuda/device.h"
#include "kernels/cuda/plane_cuda.h"

/* Uploads the program of a plan to the current device. *memory, to be freed with cudaFree, backs its arrays. */
ntk_status ntk_cuda_plane_create(const ntk_plan *plan, const ntk_cuda_device *device, cudaStream_t stream,
                                 ntk_cuda_plane *out, void **memory);

#endif
