/* Internal: pairs of networks in stages in flight: their list, working memory and what comes back. */
#ifndef NTK_HOST_CUDA_STAGE_BATCH_H
#define NTK_HOST_CUDA_STAGE_BATCH_H

#include "host/cuda/blas.h"
#include "host/cuda/stage_plan.h"
#include "host/gram/plan.h"

/* A network in one precision on the device. */
typedef struct ntk_stage_program {
  const ntk_cuda_stage_ops *ops; /* NULL: none */
  ntk_cuda_stages stages;
  void *memory;
} ntk_stage_program;

static inline size_t ntk_stage_real(const ntk_stage_program *program) {
  return program->ops->f64 ? sizeof(double) : sizeof(float);
}

/* Prepared images on the device. */
typedef struct ntk_stage_tables {
  void *tables;
  unsigned *hashes; /* NULL in float64 */
} ntk_stage_tables;

typedef struct ntk_stage_batch {
  const ntk_plan *plan;
  cudaStream_t stream;
  ntk_cuda_blas *blas;
  size_t bytes; /* that a run's working memory may take; one pair's in any case */
  int64_t most; /* pairs of a run */
  int capacity; /* room of the lists */
  ntk_cuda_stage_pair *list, *device_list;
  int64_t *at; /* place of each pair in the part, for the caller */
  void *memory, *products;
  double *partial, *device_sums, *sums;
  float *partial_risk, *device_risk, *risk; /* [pair][2] */
  const void **operands, **device_operands; /* of the products: [call][3][pairs of a call]: x, z, where to */
} ntk_stage_batch;

/* Pairs of a run at most, for tiles of that size. */
int64_t ntk_stage_batch_most(const ntk_plan *plan, int64_t tile);

/* Host memory of a batch for tiles of that size. */
uint64_t ntk_stage_batch_host_bytes(const ntk_plan *plan, int64_t tile);

/* plan, stream, blas, bytes and most are set. programs: the plan's, and its float64 twin or NULL. On failure call free
 * too. */
ntk_status ntk_stage_batch_create(ntk_stage_batch *batch, const ntk_stage_program *program,
                                  const ntk_stage_program *twin);
void ntk_stage_batch_free(ntk_stage_batch *batch);

/* Most pairs of a run. */
int ntk_stage_batch_limit(const ntk_stage_batch *batch, const ntk_stage_program *program);

/* Computes the first `count` pairs of the list; their sums and risks are on the host afterwards. */
ntk_status ntk_stage_batch_run(ntk_stage_batch *batch, const ntk_stage_program *program, const ntk_stage_tables *x,
                               const ntk_stage_tables *z, int count);

#endif
