/* Internal: what the CUDA workers share: a tile of the Gram matrix, computed in parts that fit the device's memory. */
#ifndef NTK_HOST_CUDA_PARTS_H
#define NTK_HOST_CUDA_PARTS_H

#include "host/cuda/device.h"
#include "host/gram/plan.h"

/* Inputs [i0, i0 + rows) and [j0, j0 + columns), whose first value is the tile's value `base`. */
typedef struct ntk_cuda_part {
  int64_t i0, rows, j0, columns, base, stride; /* stride: values a row of the tile */
  bool triangle;                               /* on the diagonal of the matrix: pairs with j < i are not computed */
  bool diagonal;                               /* pairs (i, i) alone; columns is rows */
} ntk_cuda_part;

/* Places of a part: pairs row by row, those that are not computed included. */
static inline int64_t ntk_cuda_part_places(const ntk_cuda_part *p) {
  return p->diagonal ? p->rows : p->rows * p->columns;
}

/* The pair at a place; false: not computed. */
static inline bool ntk_cuda_part_pair(const ntk_cuda_part *p, int64_t place, int64_t *i, int64_t *j) {
  *i = p->diagonal ? place : place / p->columns, *j = p->diagonal ? place : place % p->columns;
  return !p->triangle || *j >= *i;
}

/* Where the tile keeps the value of a pair. */
static inline size_t ntk_cuda_part_value(const ntk_cuda_part *p, int64_t i, int64_t j) {
  return (size_t)(p->base + (p->diagonal ? i : i * p->stride + j));
}

/* A worker's way to compute tiles. */
typedef struct ntk_cuda_parts {
  const ntk_worker_shared *shared;
  const ntk_cuda_device *device;
  int64_t tile, part; /* most rows and columns */
  double **values;    /* [output][row][column] of a tile */
  ntk_status (*run)(void *worker, const ntk_cuda_part *part);
  void *worker;
} ntk_cuda_parts;

/* As ntk_worker_ops.run_tile. */
ntk_status ntk_cuda_run_tile(const ntk_cuda_parts *work, int64_t tile_row, int64_t tile_column, int64_t *rows,
                             int64_t *columns, const double *const **values);

#endif
