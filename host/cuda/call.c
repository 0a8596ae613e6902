#include "host/cuda/call.h"

ntk_status ntk_cuda_failed(int error, const char *what) {
  const char *text = cudaGetErrorString((cudaError_t)error);
  if (error == cudaErrorMemoryAllocation) {
    (void)cudaGetLastError(); /* this one is not sticky */
    return ntk_fail(NTK_ERROR_MEMORY, "the CUDA device has no memory for %s: use smaller tiles (--tile)", what);
  }
  return ntk_fail(NTK_ERROR_DEVICE, "CUDA: %s failed: %s", what, text);
}

ntk_status ntk_cuda_memory(void **out, size_t bytes, const char *what) {
  NTK_CUDA_TRY(cudaMalloc(out, bytes), what);
  return NTK_OK;
}

ntk_status ntk_cuda_pinned_memory(void **out, size_t bytes) {
  NTK_CUDA_TRY(cudaHostAlloc(out, bytes, cudaHostAllocDefault), "pinned host memory");
  return NTK_OK;
}
