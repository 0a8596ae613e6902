/* Internal: CUDA calls with one error message. */
#ifndef NTK_HOST_CUDA_CALL_H
#define NTK_HOST_CUDA_CALL_H

#include <cuda_runtime_api.h>
#include <ntk/status.h>

#include "host/status.h"

/* Turns a failed call into a status; `what` says what was tried. Out of memory is NTK_ERROR_MEMORY. */
ntk_status ntk_cuda_failed(int error, const char *what);

#define NTK_CUDA_TRY(call, what)                                             \
  do {                                                                       \
    int cuda_error = (int)(call);                                            \
    if (cuda_error != cudaSuccess) return ntk_cuda_failed(cuda_error, what); \
  } while (0)

/* Device memory, to be freed with cudaFree; `what` completes "no memory for ...". */
ntk_status ntk_cuda_memory(void **out, size_t bytes, const char *what);

/* Pinned host memory, to be freed with cudaFreeHost. */
ntk_status ntk_cuda_pinned_memory(void **out, size_t bytes);

#endif
