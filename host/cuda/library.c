#include "host/cuda/library.h"

#include <dlfcn.h>
#include <stdio.h>

#include "host/status.h"

#ifndef NTK_CUDA_LIBRARY_FOLDER /* of the toolkit that this was built with */
#define NTK_CUDA_LIBRARY_FOLDER "/usr/local/cuda/lib64"
#endif

ntk_status ntk_cuda_library_load(const char *title, const char *file, const ntk_cuda_symbol *symbols, size_t count) {
  char path[512];
  void *library = dlopen(file, RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    snprintf(path, sizeof path, NTK_CUDA_LIBRARY_FOLDER "/%s", file);
    library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  }
  if (!library)
    return ntk_fail(NTK_ERROR_DEVICE,
                    "%s cannot be loaded (%s): install it or set LD_LIBRARY_PATH to its folder, or use --device cpu",
                    title, dlerror());
  for (size_t k = 0; k < count; k++)
    if (!(*symbols[k].address = dlsym(library, symbols[k].name)))
      return ntk_fail(NTK_ERROR_DEVICE, "%s has no %s: install the version of the CUDA Toolkit that built libntk",
                      title, symbols[k].name);
  return NTK_OK;
}
