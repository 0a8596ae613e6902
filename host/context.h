/* Internal: the fields of a context. */
#ifndef NTK_HOST_CONTEXT_H
#define NTK_HOST_CONTEXT_H

#include <ntk/context.h>
#include <stdatomic.h>

#include "host/backend/backend.h"
#include "host/cuda/device.h"

struct ntk_context {
  int threads; /* 0: all cores */
  uint64_t memory;
  const ntk_backend *backend;
  int devices[NTK_CUDA_MOST_DEVICES]; /* CUDA devices to use; device_count 0: the CPU */
  int device_count;
  char device_text[64]; /* "cpu", "cuda:0,1" */
  char engine[16];      /* "cuda sm_90" */
  ntk_progress_fn progress;
  void *progress_user;
  atomic_int cancelled;
};

/* Cores that this process may use. */
int ntk_cores(void);

/* The backend of a context; NULL means the best one. */
const ntk_backend *ntk_context_backend(const ntk_context *context);

/* What computes kernels, down to what their last bits may depend on: "avx2", "cuda sm_90". */
const char *ntk_context_engine(const ntk_context *context);

/* Whether CUDA devices compute kernels. */
bool ntk_context_uses_cuda(const ntk_context *context);

#endif
