/* Internal: libraries of the CUDA Toolkit, loaded when first needed: most computations need none, they are hundreds of
 * megabytes, and the program must start without them. */
#ifndef NTK_HOST_CUDA_LIBRARY_H
#define NTK_HOST_CUDA_LIBRARY_H

#include <ntk/status.h>
#include <stddef.h>

/* A function to look up, and where its address goes. */
typedef struct ntk_cuda_symbol {
  const char *name;
  void **address;
} ntk_cuda_symbol;

/* Loads `file` ("libcublas.so.13") from where the system looks, else from the toolkit's folder, and looks up all
 * symbols. NTK_ERROR_DEVICE: it or one of them is missing; the message names `title` ("cuBLAS"). It stays loaded. */
ntk_status ntk_cuda_library_load(const char *title, const char *file, const ntk_cuda_symbol *symbols, size_t count);

#endif
