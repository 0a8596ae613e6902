/* Internal: a plan's plane program in device memory. */
#ifndef NTK_HOST_CUDA_PLANE_H
#define NTK_HOST_CUDA_PLANE_H

#include "host/cuda/device.h"
#include "kernels/cuda/plane_cuda.h"

/* Uploads the program of a plan to the current device. *memory, to be freed with cudaFree, backs its arrays. */
ntk_status ntk_cuda_plane_create(const ntk_plan *plan, const ntk_cuda_device *device, cudaStream_t stream,
                                 ntk_cuda_plane *out, void **memory);

/* Weights of every pool as full tables, for each height x height, then width x width; flatten keeps offset 0 only. */
size_t ntk_cuda_pool_reals(const ntk_program *program);
void ntk_cuda_pool_weights(const ntk_program *program, double *out);

#endif
