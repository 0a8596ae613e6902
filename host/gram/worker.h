/* Internal: workers, which compute tiles: their contract, and the CPU's (worker.c). CUDA's are in host/cuda. */
#ifndef NTK_HOST_GRAM_WORKER_H
#define NTK_HOST_GRAM_WORKER_H

#include "host/backend/backend.h"
#include "host/gram/tiles.h"

/* What all workers of a job share and report to. */
typedef struct ntk_worker_shared {
  const ntk_plan *plan;
  const ntk_backend *backend;
  const int *devices; /* CUDA: their numbers */
  int device_count;
  const ntk_tiles_job *job;
  atomic_int *cancelled; /* stop soon; may be NULL */
  atomic_int stop;       /* another worker failed */
  atomic_llong pairs, recomputed;
} ntk_worker_shared;

/* A kind of workers. A worker belongs to one thread. */
typedef struct ntk_worker_ops {
  /* Host memory that a worker needs for tiles of that size. */
  uint64_t (*bytes)(const ntk_plan *plan, const ntk_backend *backend, int64_t tile);
  /* Creates worker `index` of the job. */
  ntk_status (*create)(ntk_worker_shared *shared, int index, int64_t tile, void **out);
  void (*free)(void *worker);
  /* Computes tile (tile_row, tile_column); values[k] (owned by the worker) receives output k, rows x columns. */
  ntk_status (*tile)(void *worker, int64_t tile_row, int64_t tile_column, int64_t *rows, int64_t *columns,
                     const double *const **values);
} ntk_worker_ops;

extern const ntk_worker_ops ntk_cpu_worker_ops;

/* For all kinds of workers (value.c): */

/* Whether the job should stop: cancelled, or another worker failed. */
bool ntk_worker_stopped(const ntk_worker_shared *shared);
ntk_status ntk_worker_interrupted(void);

/* Estimated relative error of an NTK value from which a float32 pair is recomputed in float64 (docs/accuracy.md). */
double ntk_risk_limit(const ntk_plan *plan);

/* Turns the kernels' sums of an evaluation of pair (i, j) into the outputs' values at values[..][at]: evaluation 0,
 * K(x,z), is stored; then 1, K(Fx,z), is averaged in. one: room for a value of every output. NTK_ERROR_DATA for a value
 * that is not finite. */
ntk_status ntk_value_store_head(const ntk_plan *plan, int evaluation, const double *sums, const double *x_self,
                                const double *z_self, double *one, double *const *values, size_t at, int64_t i,
                                int64_t j);

/* The same for a network without activations behind its readout, which alone needs the sums of x and z with themselves.
 */
ntk_status ntk_value_store(const ntk_plan *plan, int evaluation, const double *sums, double *one, double *const *values,
                           size_t at, int64_t i, int64_t j);

/* Copies the upper triangle of a square tile to the lower one: symmetric to the last bit. */
void ntk_values_mirror(const ntk_plan *plan, double *const *values, int64_t n);

#endif
