/* Internal: batches of images through a feature map on a CUDA device, on a stream and in memory of their own. */
#ifndef NTK_HOST_CUDA_FEATURE_BATCH_H
#define NTK_HOST_CUDA_FEATURE_BATCH_H

#include "host/cuda/blas.h"
#include "host/cuda/feature_tables.h"
#include "host/cuda/fft.h"

/* Which of ntk_features_times the time behind a mark on the stream was spent on, in their order. */
typedef enum ntk_cuda_phase {
  NTK_CUDA_PHASE_INPUT = 1,
  NTK_CUDA_PHASE_PRODUCTS,
  NTK_CUDA_PHASE_UNITS,
  NTK_CUDA_PHASE_SKETCHES,
  NTK_CUDA_PHASE_SUMS
} ntk_cuda_phase;

typedef struct ntk_cuda_mark {
  cudaEvent_t event;
  ntk_cuda_phase phase; /* that ends here */
} ntk_cuda_mark;

typedef struct ntk_cuda_feature_batch {
  const ntk_features *features;
  const ntk_cuda_feature_tables *tables;
  int capacity; /* images */
  bool whole;   /* the device had room for all that were asked for */
  cudaStream_t stream;
  bool streaming; /* the stream exists */
  ntk_cuda_blas *blas;
  ntk_cuda_fft **ffts;                                         /* [operation], one size once */
  float *images, *slots, *units, *waves, *trees, *norms, *out; /* on the device */
  float *staging, *result;                                     /* pinned */
  double *input;                                               /* some images */
  ntk_cuda_mark *marks;
  int mark_count, mark_capacity;
} ntk_cuda_feature_batch;

/* For the current device, of up to `most` images, fewer where memory is short; what there is must be freed on failure
 * too. NTK_ERROR_MEMORY: not even one image fits. */
ntk_status ntk_cuda_feature_batch_create(const ntk_features *features, const ntk_cuda_feature_tables *tables, int most,
                                         ntk_cuda_feature_batch *out);
void ntk_cuda_feature_batch_free(ntk_cuda_feature_batch *batch);

/* Features of inputs first .. first + count, at most the capacity. times: added to. */
ntk_status ntk_cuda_feature_batch_run(ntk_cuda_feature_batch *batch, const ntk_feature_source *source, int64_t first,
                                      int count, float *out, ntk_features_times *times);

#endif
