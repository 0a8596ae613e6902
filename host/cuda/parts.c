#include "host/cuda/parts.h"

#include "host/status.h"

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

static ntk_status run_parts(const ntk_cuda_parts *work, const ntk_cuda_part *tile) {
  for (int64_t i = 0; i < tile->rows; i += work->part)
    for (int64_t j = tile->diagonal || tile->triangle ? i : 0; j < tile->columns; j += work->part) {
      ntk_cuda_part p = *tile;
      p.i0 += i, p.rows = least(work->part, tile->rows - i);
      p.j0 += j, p.columns = least(work->part, tile->columns - j);
      p.base = tile->diagonal ? i : i * tile->stride + j;
      p.triangle = tile->triangle && i == j;
      NTK_TRY(work->run(work->worker, &p));
      if (tile->diagonal) break;
    }
  return NTK_OK;
}

ntk_status ntk_cuda_run_tile(const ntk_cuda_parts *work, int64_t tile_row, int64_t tile_column, int64_t *rows,
                             int64_t *columns, const double *const **values) {
  const ntk_tiles_job *job = work->shared->job;
  const bool one_set = job->columns.count == 0;
  ntk_cuda_part p = {.i0 = tile_row * work->tile, .j0 = tile_column * work->tile, .diagonal = job->diagonal};
  if (p.diagonal) p.j0 = p.i0;
  p.triangle = !p.diagonal && one_set && tile_row == tile_column;
  p.rows = least(work->tile, job->rows.count - p.i0);
  p.columns = p.stride =
      p.diagonal ? p.rows : least(work->tile, (one_set ? job->rows.count : job->columns.count) - p.j0);
  NTK_TRY(ntk_cuda_tile_status(run_parts(work, &p), work->device, tile_row, tile_column));
  if (p.triangle) ntk_values_mirror(work->shared->plan, work->values, p.rows);
  *rows = p.rows, *columns = p.diagonal ? 1 : p.columns, *values = (const double *const *)work->values;
  return NTK_OK;
}
