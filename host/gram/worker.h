/* Internal: one worker's buffers and the computation of one tile. */
#ifndef NTK_HOST_GRAM_WORKER_H
#define NTK_HOST_GRAM_WORKER_H

#include "host/backend/backend.h"
#include "host/gram/tiles.h"

typedef struct ntk_worker ntk_worker;

/* What all workers of a job share and report to. */
typedef struct ntk_worker_shared {
  const ntk_plan *plan;
  const ntk_backend *backend;
  const ntk_tiles_job *job;
  atomic_int *cancelled; /* stop soon; may be NULL */
  atomic_int stop;       /* another worker failed */
  atomic_llong pairs, recomputed;
} ntk_worker_shared;

/* Bytes that a worker needs for tiles of that size. */
uint64_t ntk_worker_bytes(const ntk_plan *plan, const ntk_backend *backend, int64_t tile);

ntk_status ntk_worker_create(ntk_worker_shared *shared, int64_t tile, ntk_worker **out);
void ntk_worker_free(ntk_worker *worker);

/* Computes tile (tile_row, tile_column); values[k] (owned by the worker) receives output k, rows x columns. */
ntk_status ntk_worker_tile(ntk_worker *worker, int64_t tile_row, int64_t tile_column, int64_t *rows, int64_t *columns,
                           const double *const **values);

#endif
