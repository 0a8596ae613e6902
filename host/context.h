/* Internal: the fields of a context. */
#ifndef NTK_HOST_CONTEXT_H
#define NTK_HOST_CONTEXT_H

#include <ntk/context.h>
#include <stdatomic.h>

struct ntk_context {
  int threads;
  uint64_t memory;
  const struct ntk_backend *backend;
  ntk_progress_fn progress;
  void *progress_user;
  atomic_int cancelled;
};

#endif
