/* Internal: the fields of a context. */
#ifndef NTK_HOST_CONTEXT_H
#define NTK_HOST_CONTEXT_H

#include <ntk/context.h>
#include <stdatomic.h>

#include "host/backend/backend.h"

struct ntk_context {
  int threads; /* 0: all cores */
  uint64_t memory;
  const ntk_backend *backend;
  ntk_progress_fn progress;
  void *progress_user;
  atomic_int cancelled;
};

/* Cores that this process may use. */
int ntk_cores(void);

/* The backend of a context; NULL means the best one. */
const ntk_backend *ntk_context_backend(const ntk_context *context);

#endif
