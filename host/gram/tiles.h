/* Internal: computing tiles of a kernel matrix with a team of worker threads.
 *
 * rows/columns -> tiles (upper triangle when symmetric) -> one queue -> workers (worker.c) -> sink. A pair's value
 * depends on the pair alone, so tile size, thread count and order change no bit.
 */
#ifndef NTK_HOST_GRAM_TILES_H
#define NTK_HOST_GRAM_TILES_H

#include <ntk/context.h>
#include <ntk/dataset.h>
#include <ntk/plan.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "host/gram/plan.h"

/* Inputs: a data set or an array in memory. */
typedef struct ntk_inputs {
  const ntk_dataset *dataset; /* or NULL: */
  const double *values;
  int64_t count;
} ntk_inputs;

/* Where finished tiles go. Called from several threads. */
typedef struct ntk_tile_sink {
  void *user;
  bool (*done)(void *user, int64_t tile_row, int64_t tile_column); /* already there? NULL: never */
  ntk_status (*write)(void *user, int64_t tile_row, int64_t tile_column, int64_t rows, int64_t columns,
                      const double *const *values); /* one rows x columns block per output */
} ntk_tile_sink;

typedef struct ntk_tiles_job {
  const char *stage;
  ntk_inputs rows, columns; /* columns.count = 0: symmetric, rows against themselves */
  bool diagonal;            /* only the pairs (i, i): tiles are (k, 0), blocks of count x 1 */
  int64_t tile;             /* 0: chosen */
  ntk_tile_sink sink;
  /* results */
  int64_t pairs, pairs_done, pairs_resumed, pairs_recomputed;
  double seconds;
} ntk_tiles_job;

/* Tile size for a job (the larger the better within the memory budget, small enough to feed the threads).
 * NTK_ERROR_MEMORY if not even single pairs fit. */
ntk_status ntk_tiles_choose(const ntk_context *context, const ntk_plan *plan, ntk_tiles_job *job);

/* Runs the job. context may be NULL. */
ntk_status ntk_tiles_run(ntk_context *context, const ntk_plan *plan, ntk_tiles_job *job);

/* Reads inputs [first, first + count) as float64; NTK_ERROR_DATA for a non-finite value. */
ntk_status ntk_inputs_read(const ntk_inputs *source, const ntk_plan *plan, int64_t first, int64_t count, double *out);

/* Values of one input. */
size_t ntk_plan_input_size(const ntk_plan *plan);

#endif
