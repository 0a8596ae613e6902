/* Internal: feature maps on CUDA devices. A build without CUDA has none (none.c). */
#ifndef NTK_HOST_CUDA_FEATURES_H
#define NTK_HOST_CUDA_FEATURES_H

#include "host/features/features.h"

/* As ntk_features_run, on the devices of a context. Tables, random matrices and the memory of batches stay on the
 * devices until the map is freed. */
ntk_status ntk_cuda_features_run(ntk_context *context, const ntk_features *features, ntk_feature_source source,
                                 int64_t first, int64_t count, float *out, ntk_features_times *times);

#endif
