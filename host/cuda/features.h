/* Internal: feature maps on CUDA devices. A build without CUDA has none (none.c). */
#ifndef NTK_HOST_CUDA_FEATURES_H
#define NTK_HOST_CUDA_FEATURES_H

#include "host/features/features.h"

/* As ntk_features_run, on the devices of a context. Tables, random matrices and the memory of batches stay on the
 * devices until the map is freed. */
ntk_status ntk_cuda_features_run(ntk_context *context, const ntk_features *features, ntk_feature_source source,
                                 int64_t first, int64_t count, float *out, ntk_features_times *times);

/* Takes that memory before the first run of `count` inputs in all; *rows: so many a run keep every stream busy.
 * NTK_ERROR_MEMORY if not even one input fits. */
ntk_status ntk_cuda_features_prepare(ntk_context *context, const ntk_features *features, int64_t count, int64_t *rows);

#endif
