/* Internal: pairs in flight: their list, working memory and what comes back. */
#ifndef NTK_HOST_CUDA_BATCH_H
#define NTK_HOST_CUDA_BATCH_H

#include "host/cuda/blas.h"
#include "host/cuda/plane.h"
#include "host/gram/plan.h"

typedef struct ntk_cuda_batch {
  const ntk_cuda_plane *plane;
  cudaStream_t stream;
  int capacity; /* pairs */
  ntk_cuda_pair *list, *device_list;
  int64_t *at; /* place of each pair in the part, for the caller */
  double *partial, *device_sums, *sums;
  float *partial_risk, *device_risk, *risk;
  /* inputs of many channels: the products of all pixels of some pairs */
  ntk_cuda_blas *blas;
  void *products;
  const void **operands, **device_operands; /* [3][products that there is room for]: x, z, where to */
} ntk_cuda_batch;

/* Most pairs of a batch for tiles of that size. */
int ntk_cuda_batch_capacity(const ntk_plan *plan, int64_t tile);

/* Host memory of such a batch. */
uint64_t ntk_cuda_batch_host_bytes(const ntk_plan *plan, int64_t tile);

/* The plane and, for inputs of many channels, the cuBLAS handle must outlive the batch. On failure call free too. */
ntk_status ntk_cuda_batch_create(const ntk_plan *plan, const ntk_cuda_plane *plane, cudaStream_t stream,
                                 ntk_cuda_blas *blas, int64_t tile, ntk_cuda_batch *out);
void ntk_cuda_batch_free(ntk_cuda_batch *batch);

/* Most pairs of a run: the capacity, or as many as there is room for products. */
int ntk_cuda_batch_limit(const ntk_cuda_batch *batch, const ntk_cuda_plane_ops *ops);

/* Computes the first `count` pairs of the list; their sums and risks are on the host afterwards. */
ntk_status ntk_cuda_batch_run(ntk_cuda_batch *batch, const ntk_cuda_plane_ops *ops, const ntk_cuda_images *x,
                              const ntk_cuda_images *z, int count);

#endif
